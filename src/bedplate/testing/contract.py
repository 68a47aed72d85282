"""Tests that every application must pass, to inherit from.

class TestApplication(ApplicationContract):
    public = {"GET /api/v1/prices"}
"""

from collections.abc import Sequence
from typing import ClassVar

from bedplate import migrate
from bedplate.config import Settings
from bedplate.example import BUILT_IN
from bedplate.main import Application, create_app
from bedplate.module import Module, migrations_of
from bedplate.runtime import make_database
from bedplate.testing.guards import (
    public_operations,
    responses_without_schema,
    unbounded_inputs,
)


class ApplicationContract:
    """Tests of a whole application, for what no test of a single module can find."""

    public: ClassVar[set[str]] = set()
    """The operations of your own modules that don't require credentials."""

    def test_no_operation_is_open_by_accident(
        self, settings: Settings, app: Application
    ) -> None:
        built_in = public_operations(create_app(settings, BUILT_IN).openapi())
        assert public_operations(app.openapi()) - built_in == self.public

    def test_every_input_has_a_limit(self, app: Application) -> None:
        assert unbounded_inputs(app.openapi()) == []

    def test_every_success_says_what_it_holds(self, app: Application) -> None:
        assert responses_without_schema(app.openapi()) == []

    async def test_the_models_are_what_the_migrations_made(
        self, settings: Settings, modules: Sequence[Module]
    ) -> None:
        """Compare the database with the models.

        If this fails, run `bedplate add migration "what changes"`.
        """
        database = make_database(settings)
        try:
            await migrate.check(database, migrations_of(modules))
        finally:
            await database.close()
