from sqlalchemy import ColumnElement
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, validates


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoices"

    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]
    paid: Mapped[int]

    def __repr__(self) -> str:
        return f"Invoice({self.id})"

    @property
    def due(self) -> int:
        return self.total - self.paid

    @hybrid_property
    def is_paid(self) -> bool:
        return self.total == self.paid

    @is_paid.inplace.expression
    @classmethod
    def _is_paid(cls) -> ColumnElement[bool]:
        return cls.total == cls.paid

    def share(self, people: int) -> int:
        return self.total // people

    @validates("total")
    def _check(self, _key: str, value: int) -> int:
        if value < 0:
            raise ValueError("negative")
        return value


class InvoiceService:
    def pay(self, invoice: Invoice, amount: int) -> None:
        invoice.paid += amount
