"""The numbered state: it follows the database, and its number grows with every change that replicas must know."""

from dataclasses import replace

from aimass.accounts.keys import KeyRequest, digest_of
from aimass.control import deploy, keys, models
from aimass.control.state import build_state
from aimass.gateway.state import GatewayState
from aimass.testing.desk import Desk, service_document


def state_of(desk: Desk) -> GatewayState:
    with desk.context.database.reading() as session:
        return build_state(session)


def test_revoked_keys_are_not_in_it_and_secrets_never(desk: Desk) -> None:
    made = keys.create(desk.context, KeyRequest("phone", ("predict",), 3.0, desk.clock.now() + 60))
    found = next(key for key in state_of(desk).keys if key.id == made["id"])
    assert (found.digest, found.scopes, found.rate_per_s) == (digest_of(made["secret"]), ("predict",), 3.0)
    assert made["secret"].encode() not in state_of(desk).dumps()
    keys.revoke(desk.context, made["id"])
    assert made["id"] not in [key.id for key in state_of(desk).keys]
    assert made["id"] not in [key.id for key in desk.pusher.replicas[1].state.keys], "pushed before the call returned"


def test_every_change_raises_the_number_and_a_look_does_not(desk: Desk) -> None:
    numbers = [state_of(desk).number]
    made = keys.create(desk.context, KeyRequest("phone", ("predict",)))
    numbers.append(state_of(desk).number)
    keys.revoke(desk.context, made["id"])
    numbers.append(state_of(desk).number)
    deploy.deploy(desk.context, service_document("double@1"))
    numbers.append(state_of(desk).number)
    deploy.undeploy(desk.context, "twice")
    numbers.append(state_of(desk).number)
    assert numbers == sorted(set(numbers))
    keys.list_keys(desk.context)
    models.move_alias(desk.context, "double", "gold", 1, "")
    assert state_of(desk).number == numbers[-1]


def test_the_same_rows_give_the_same_state_and_it_travels(desk: Desk) -> None:
    deploy.deploy(desk.context, service_document("double@1"))
    deploy.deploy(desk.context, service_document("double@1", "other"))
    state = state_of(desk)
    assert state == state_of(desk)
    assert GatewayState.loads(state.dumps()) == replace(state)
    assert [service.name for service in state.services] == ["other", "twice"]


def test_a_pin_is_each_revisions_own_and_holds_what_has_traffic(desk: Desk) -> None:
    plain = service_document("double@1")
    pinned = plain.replace("max_queue: 7", "max_queue: 7, pinned: true")
    assert pinned != plain
    for document, expected in ((pinned, {1}), (plain, set()), (pinned, {1})):
        deploy.deploy(desk.context, document)
        (service,) = state_of(desk).services
        assert service.pinned == expected
        assert service.limits.max_queue == 7
