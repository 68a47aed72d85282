from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session

from .mail import send_mail


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoices"

    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]
    paid: Mapped[int]
    paid_on: Mapped[str | None]

    def pay(self, amount: int) -> None:  # finds: fat-model
        if amount > self.total - self.paid:
            raise ValueError("too much")
        self.paid += amount
        send_mail("paid")

    def close(self) -> None:  # finds: fat-model
        self.paid_on = datetime.now(UTC).isoformat()

    @classmethod
    def find(cls, db: Session, number: int) -> "Invoice | None":  # finds: fat-model
        return db.scalar(select(cls).where(cls.id == number))

    async def save(self, session: AsyncSession) -> None:  # finds: fat-model
        session.add(self)
        await session.commit()

    def siblings(self) -> int:  # finds: fat-model
        session = object_session(self)
        assert session
        return session.scalar(select(func.count(Invoice.id))) or 0
