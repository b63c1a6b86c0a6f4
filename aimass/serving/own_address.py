"""Keeps a Serve replica's own port, which asks for no key, off every interface but the node's."""

from ray.serve._private import replica
from ray.util import get_node_ip_address


def keep_to_own_address() -> None:
    """Serve opens a port in each replica for calls between deployments, and unpickles what comes there.

    By itself it listens everywhere; afterwards on the node's own address, which is loopback on one machine. Call it in
    a deployment's ``__init__``: Serve opens the port after that.
    """
    original = replica.add_port_to_grpc_server
    own = get_node_ip_address()
    replica.add_port_to_grpc_server = lambda server, address: original(server, address.replace("[::]", own))
