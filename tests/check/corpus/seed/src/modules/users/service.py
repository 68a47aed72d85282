from sqlalchemy.orm import Session
from passlib.context import CryptContext

from .models import User
from .schemas import UserCreate, UserUpdate
from .repository import UserRepository

pwd_context = CryptContext(schemes=["bcrypt"], deprecated="auto")


class UserService:
    def __init__(self, db: Session):
        self.repository = UserRepository(db)

    def get_all(self, skip: int = 0, limit: int = 20) -> list[User]:
        return self.repository.find_all(skip=skip, limit=limit)

    def get_by_id(self, user_id: str) -> User | None:
        return self.repository.find_by_id(user_id)

    def get_by_email(self, email: str) -> User | None:
        return self.repository.find_by_email(email)

    def create(self, data: UserCreate) -> User:
        # Check if email exists
        if self.get_by_email(data.email):
            raise ValueError("Email already registered")

        # Hash password
        hashed_password = pwd_context.hash(data.password)

        return self.repository.create(
            email=data.email,
            name=data.name,
            hashed_password=hashed_password,
            role=data.role,
        )

    def update(self, user_id: str, data: UserUpdate) -> User | None:
        user = self.get_by_id(user_id)
        if not user:
            return None

        update_data = data.model_dump(exclude_unset=True)
        return self.repository.update(user_id, **update_data)

    def delete(self, user_id: str) -> bool:
        user = self.get_by_id(user_id)
        if not user:
            return False
        self.repository.delete(user_id)
        return True

    def verify_password(self, plain_password: str, hashed_password: str) -> bool:
        return pwd_context.verify(plain_password, hashed_password)
