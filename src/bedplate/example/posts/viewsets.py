from typing import Any

from bedplate.django_site.api.viewsets import (
    AllowAny,
    ServiceViewSet,
    ViewSetRouter,
    action,
)
from bedplate.example.posts.errors import PostNotFound
from bedplate.example.posts.models import Post
from bedplate.example.posts.repository import LIST_POSTS
from bedplate.example.posts.schemas import PostCreate, PostResponse, PostUpdate
from bedplate.example.posts.service import PostService, reading


class PostViewSet(ServiceViewSet):
    model = Post
    service = PostService
    lists = LIST_POSTS
    response_schema = PostResponse
    body_schemas = {"create": PostCreate, "partial_update": PostUpdate}
    permissions = {"list": [AllowAny], "retrieve": [AllowAny]}
    not_found = PostNotFound
    lookup_url_kwarg = "post_id"

    def get_queryset(self) -> Any:
        readable, caller_id = reading(self.caller_or_none)
        return self.in_scope(readable, caller_id=caller_id)

    @action(detail=True, methods=["post"])
    def publish(self, request: Any, **_: Any) -> Any:
        """Publish a post."""
        return self.change(PostService.publish)

    @action(detail=True, methods=["post"])
    def unpublish(self, request: Any, **_: Any) -> Any:
        """Turn a post into a draft again."""
        return self.change(PostService.unpublish)


router = ViewSetRouter()
router.register("posts", PostViewSet)
