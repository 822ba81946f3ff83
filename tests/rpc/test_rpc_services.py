"""Every service that the node says it has can be looked up by reflection, and every method has a role."""

from __future__ import annotations

from google.protobuf.descriptor_pool import Default

from node.rpc.roles import ROLES
from node.rpc.services import SERVICES


def test_reflection_finds_every_service_that_it_names_and_each_method_has_its_roles() -> None:
    methods = {
        f"/{service}/{method.name}"
        for service in SERVICES
        for method in Default().FindServiceByName(service).methods
    }

    assert len(SERVICES) == 8
    assert methods == set(ROLES)
