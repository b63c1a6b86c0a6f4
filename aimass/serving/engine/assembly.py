"""From a layout to frames of steps: every tensor gets a slot, every branch a frame in the one around it."""

from collections.abc import Mapping, Sequence

from aimass.core.errors import Invalid
from aimass.core.events import Trace
from aimass.graph.graph import INPUT, SELECT, Source
from aimass.serving.engine.choices import Cascade, Chooser, Chosen, Switch
from aimass.serving.engine.counts import ROWS, NodeCounts
from aimass.serving.engine.frames import Frame, Port, Predict, Step, Values
from aimass.serving.layout import Choice, Layout, LayoutNode

ELSE = "else"
FALLBACK = "fallback"


class ChoiceStep(Step):
    """A switch or a cascade: runs frames for the rows that choose them."""

    __slots__ = ("chooser", "counts", "inner", "selector")

    def __init__(
        self,
        node: LayoutNode,
        chooser: Chooser,
        selector: Sequence[tuple[str, int]],
        writes: Sequence[tuple[str, int]],
        counts: NodeCounts,
    ) -> None:
        super().__init__(node, None, selector, writes)
        self.chooser = chooser
        self.counts = counts
        self.inner = tuple(item.name for item in node.nodes_all())[1:]

    @property
    def after(self) -> set[int]:
        return super().after | {outer for port in self.chooser.entries for outer, _ in port.frame.takes}

    def run(self, values: Values, trace: Trace | None = None) -> None:
        asking = self.chooser.ask(values)
        try:
            wanted = next(asking)
            while True:
                answers = []
                for one in wanted:
                    inner = one.port.frame.open(one.around, one.rows)
                    one.port.frame.run(inner, trace)
                    answers.append(inner)
                wanted = asking.send(answers)
        except StopIteration as end:
            self.fill(values, end.value)

    def fill(self, values: Values, chosen: Chosen) -> None:
        """Write the outputs down, and count who gave them."""
        for (_, slot), array in zip(self.writes, chosen.outputs, strict=True):
            values[slot] = array
        for port, rows in chosen.rows:
            self.counts.add(ROWS, self.name, port, rows)


class _Scope:
    """A frame while it is made."""

    def __init__(self, calls: Mapping[str, Predict], counts: NodeCounts, around: "_Scope | None" = None) -> None:
        self._calls = calls
        self._counts = counts
        self._around = around
        self._slots: dict[Source, int] = {}
        self._takes: list[tuple[int, int]] = []
        self._steps: list[Step] = []

    def fill(self, nodes: Sequence[LayoutNode]) -> "_Scope":
        for node in nodes:
            self._steps.append(self._choice(node, node.choice) if node.choice else self._step(node))
        return self

    def new(self, source: Source) -> int:
        return self._slots.setdefault(source, len(self._slots))

    def slot(self, source: Source) -> int:
        """Where it lies, taken in from around if need be."""
        known = self._slots.get(source)
        if known is not None:
            return known
        if self._around is None:
            raise Invalid(f"the layout reads {source}, which nothing before gives; deploy the service again")
        outer = self._around.slot(source)
        self._takes.append((outer, self.new(source)))
        return self._slots[source]

    def frame(self) -> Frame:
        """When all that lies in it was made."""
        return Frame(self._takes, self._steps, len(self._slots))

    def _step(self, node: LayoutNode) -> Step:
        reads = [(port, self.slot(source)) for port, source in node.inputs]
        fallback = None
        if node.policy.fallback:
            scope = _Scope(self._calls, self._counts, self).fill(node.branches.get(FALLBACK, ()))
            sources = [Source(node.policy.fallback, spec.name) for spec in node.signature.outputs]
            gives = [scope.slot(source) for source in sources]
            fallback = Port(FALLBACK, scope.frame(), gives)
        return Step(node, self._calls.get(node.name), reads, self._writes(node), fallback)

    def _choice(self, node: LayoutNode, choice: Choice) -> ChoiceStep:
        if choice.kind == "switch":
            return self._switch(node, choice)
        scopes, gives, around = [], [], self
        for port, source in node.inputs:
            around = _Scope(self._calls, self._counts, around).fill(node.branches.get(port, ()))
            scopes.append(around)
            gives.append(around.slot(source))
        ports = [
            Port(name, scope.frame(), [slot]) for (name, _), scope, slot in zip(node.inputs, scopes, gives, strict=True)
        ]
        outputs = [spec.name for spec in node.signature.outputs]
        chooser = Cascade(choice.thresholds, choice.temperatures, node.classes, outputs, ports)
        return ChoiceStep(node, chooser, (), self._writes(node), self._counts)

    def _switch(self, node: LayoutNode, choice: Choice) -> ChoiceStep:
        sources = dict(node.inputs)
        datatype = next(spec.datatype for spec in node.signature.inputs if spec.name == SELECT)
        select = self.slot(sources[SELECT])
        ports = []
        for case in (*choice.cases, ELSE):
            scope = _Scope(self._calls, self._counts, self).fill(node.branches.get(case, ()))
            gives = [scope.slot(sources[f"{case}.{spec.name}"]) for spec in node.signature.outputs]
            ports.append(Port(case, scope.frame(), gives))
        chooser = Switch(choice.cases, datatype, select, ports)
        return ChoiceStep(node, chooser, [(SELECT, select)], self._writes(node), self._counts)

    def _writes(self, node: LayoutNode) -> list[tuple[str, int]]:
        return [(spec.name, self.new(Source(node.name, spec.name))) for spec in node.signature.outputs]


class Assembly:
    """A layout's frame; ``inputs`` fill its first slots in order, ``results`` name the slots of the outputs."""

    def __init__(self, layout: Layout, calls: Mapping[str, Predict], counts: NodeCounts) -> None:
        scope = _Scope(calls, counts)
        self.counts = counts
        self.inputs = tuple(spec.name for spec in layout.inputs)
        for name in self.inputs:
            scope.new(Source(INPUT, name))
        scope.fill(layout.nodes)
        pairs = zip(layout.outputs, layout.sources, strict=True)
        self.results = tuple((spec.name, scope.slot(source)) for spec, source in pairs)
        self.frame = scope.frame()
        self.blank: Values = [None] * (self.frame.size - len(self.inputs))
