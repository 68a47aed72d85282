from sqlalchemy import create_engine

from app.database import Base

TEST_URL = "sqlite:///./test.db"  # finds: database-in-folder
engine = create_engine(TEST_URL)


def test_orders() -> None:
    Base.metadata.create_all(bind=engine)  # finds: create-all
    other = create_engine("sqlite:///other.db")  # finds: database-in-folder
    assert other
