"""Posts, which are drafts until they are published: the pattern for a resource."""

from bedplate.module import Module
from bedplate.modules.posts import admin
from bedplate.modules.posts.models import Post
from bedplate.modules.posts.permissions import READ_ANY, WRITE_ANY
from bedplate.modules.posts.router import router

module = Module(
    name="posts",
    router=router,
    rest="bedplate.modules.posts.viewsets",
    models=[Post],
    admin=[admin.post],
    migrations="bedplate:modules/posts/migrations",
    permissions=[READ_ANY, WRITE_ANY],
    requires=["users", "auth"],
)
