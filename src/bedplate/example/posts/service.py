from uuid import UUID

from bedplate.caller import Caller
from bedplate.core.clock import utc_now
from bedplate.core.errors import InvalidCursor, PermissionDenied, raises
from bedplate.core.preconditions import IfMatch
from bedplate.database import BrokenReference, Scope, Session
from bedplate.example.posts.errors import PostNotFound
from bedplate.example.posts.models import Post
from bedplate.example.posts.permissions import READ_ANY, WRITE_ANY
from bedplate.example.posts.repository import SCOPES, PostRepository, Readable
from bedplate.example.posts.schemas import (
    AuthorResponse,
    PostCreate,
    PostListParams,
    PostResponse,
    PostUpdate,
)
from bedplate.runtime import Runtime
from bedplate.schemas import Page


class PostService:
    """Rules for posts. All writes go through here: API, admin, jobs and commands."""

    def __init__(self, session: Session, runtime: Runtime) -> None:
        self.posts = PostRepository(session)

    @raises(InvalidCursor)
    async def list_page(
        self, params: PostListParams, caller: Caller | None
    ) -> Page[PostResponse]:
        """Return one page of the posts that the caller may read.

        Raises:
            InvalidCursor: the cursor belongs to another list or order.
        """
        return await self.posts.list_page(params, *reading(caller))

    @raises(PostNotFound)
    async def get(self, post_id: UUID, caller: Caller | None) -> PostResponse:
        """Return a post.

        Raises:
            PostNotFound: also for drafts of others, so that ids can't be probed.
        """
        post = await self.posts.find(post_id, *reading(caller))
        if post is None:
            raise PostNotFound
        return post

    async def create(self, data: PostCreate, caller: Caller) -> PostResponse:
        """Create a post, published or as a draft."""
        now = utc_now()
        post = await self.posts.insert(
            Post(
                author_id=caller.id,
                title=data.title,
                content=data.content,
                published_at=now if data.publish else None,
                created_at=now,
                updated_at=now,
            )
        )
        return PostResponse(
            post.id,
            post.title,
            post.content,
            AuthorResponse(caller.id, caller.name),
            post.published_at,
            post.created_at,
            post.updated_at,
        )

    @raises(PermissionDenied, PostNotFound)
    async def update(
        self,
        post_id: UUID,
        data: PostUpdate,
        caller: Caller,
        if_match: IfMatch | None = None,
    ) -> PostResponse:
        """Change the caller's own post, or any post with the permission.

        Raises:
            PostNotFound, PermissionDenied, PreconditionFailed
        """
        post = await self._get_own(post_id, caller, if_match)
        for name, value in data.changes().items():
            setattr(post, name, value)
        return await self._save(post)

    @raises(PermissionDenied, PostNotFound)
    async def publish(
        self, post_id: UUID, caller: Caller, if_match: IfMatch | None = None
    ) -> PostResponse:
        """Publish a post. Publishing twice keeps the first `published_at`.

        Raises:
            PostNotFound, PermissionDenied, PreconditionFailed
        """
        post = await self._get_own(post_id, caller, if_match)
        post.published_at = post.published_at or utc_now()
        return await self._save(post)

    @raises(PermissionDenied, PostNotFound)
    async def unpublish(
        self, post_id: UUID, caller: Caller, if_match: IfMatch | None = None
    ) -> PostResponse:
        """Turn a post into a draft again.

        Raises:
            PostNotFound, PermissionDenied, PreconditionFailed
        """
        post = await self._get_own(post_id, caller, if_match)
        post.published_at = None
        return await self._save(post)

    @raises(PermissionDenied, PostNotFound, BrokenReference)
    async def delete(
        self, post_id: UUID, caller: Caller, if_match: IfMatch | None = None
    ) -> None:
        """Delete the caller's own post, or any post with the permission.

        Raises:
            PostNotFound, PermissionDenied, PreconditionFailed
        """
        post = await self._get_own(post_id, caller, if_match)
        await self.posts.delete(post)

    async def _get_own(
        self, post_id: UUID, caller: Caller, if_match: IfMatch | None
    ) -> Post:
        # Locked: two changes at once follow one another.
        post = await self.posts.get(post_id, lock=True)
        current = await self.get(post_id, caller)
        if post is None:
            raise PostNotFound
        if post.author_id != caller.id and not caller.may(WRITE_ANY):
            raise PermissionDenied("Only its author can change a post")
        if if_match is not None:
            if_match.check(current)
        return post

    async def _save(self, post: Post) -> PostResponse:
        """Return a saved post, also a draft that the caller can change but not read."""
        await self.posts.save(post)
        saved = await self.posts.find(post.id, "all", None)
        if saved is None:
            raise PostNotFound
        return saved


def reading(caller: Caller | None) -> tuple[Readable, UUID | None]:
    """Return which posts a caller may read: the one rule, for posts and lists."""
    if caller is None:
        return "published", None
    return "all" if caller.may(READ_ANY) else "own", caller.id


def visible_to(caller: Caller | None) -> tuple[Scope, dict[str, UUID | None]]:
    """Return the scope of the posts that a caller may read, and its parameters."""
    readable, caller_id = reading(caller)
    return SCOPES[readable], {"caller_id": caller_id}
