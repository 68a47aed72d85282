"""Posts, which are drafts until they are published: the pattern for a resource."""

from bedplate.example.posts import admin
from bedplate.example.posts.models import Post
from bedplate.example.posts.permissions import READ_ANY, WRITE_ANY
from bedplate.example.posts.router import router
from bedplate.module import Module

module = Module(
    name="posts",
    router=router,
    rest="bedplate.example.posts.viewsets",
    models=[Post],
    admin=[admin.post],
    migrations="bedplate:example/posts/migrations",
    permissions=[READ_ANY, WRITE_ANY],
    requires=["users", "auth"],
)
