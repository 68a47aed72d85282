from pathlib import Path

from sqlalchemy import create_engine

from app.migrate import upgrade

MEMORY = "sqlite:///:memory:"


def test_orders(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/test.db")
    upgrade(engine)
