"""`Repository`: the queries of one model."""

from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from bedplate.database.base import Base
from bedplate.database.driver_errors import breaks_reference
from bedplate.database.references import still_referenced
from bedplate.database.session import Session

M = TypeVar("M", bound=Base)


class Repository(Generic[M]):
    """The queries of one model. `add`, `save` and `delete` flush.

    So the returned entity has the stored values: without the flush, the response to a
    PATCH would have the old `updated_at`.
    """

    model: type[M]

    def __init__(self, session: Session) -> None:
        self.session = session

    async def get(self, id_: Any, *, lock: bool = False) -> M | None:
        """Return an entity for changes, or None. `lock` locks its row."""
        return await self.session.get(
            self.model, id_, with_for_update=lock or None, populate_existing=lock
        )

    async def add(self, entity: M) -> M:
        self.session.add(entity)
        return await self.save(entity)

    async def insert(self, entity: M) -> M:
        """Add an entity that won't change in this session: see `Session.insert`."""
        await self.session.insert(entity)
        return entity

    async def save(self, entity: M) -> M:
        await self.session.flush()
        return entity

    async def delete(self, entity: M) -> None:
        """Delete a row, and the rows that the database deletes with it.

        Raises:
            Conflict: other rows still refer to it. The transaction is rolled back.
        """
        state: Any = sa.inspect(entity)
        table, identity = state.mapper.local_table, state.identity[0]
        await self.session.delete(entity)
        try:
            await self.session.flush()
        # `breaks_reference` checks which kind of constraint it is.
        except sa.exc.IntegrityError as error:  # bedplate: ignore[any-integrity-error]
            if not breaks_reference(error):
                raise
            await self.session.rollback()
            raise await self.session.run_sync(
                still_referenced, error, table, identity
            ) from error
