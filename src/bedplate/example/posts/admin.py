from bedplate.admin import Action, Admin, Form, Stat
from bedplate.example.posts.models import Post
from bedplate.example.posts.permissions import WRITE_ANY
from bedplate.example.posts.schemas import PostCreate, PostUpdate
from bedplate.example.posts.service import PostService, visible_to

post = Admin(
    Post,
    permission=WRITE_ANY,
    scope=visible_to,
    list_display=["title", "author", "published_at", "created_at"],
    list_filter=["published_at", "created_at"],
    search=["title", "content"],
    ordering=["-created_at"],
    service=PostService,
    create=Form(PostCreate, PostService.create),
    update=Form(PostUpdate, PostService.update),
    delete=PostService.delete,
    actions=[
        Action(
            "Publish", PostService.publish, when=lambda post: post.published_at is None
        ),
        Action(
            "Unpublish",
            PostService.unpublish,
            when=lambda post: post.published_at is not None,
            is_dangerous=True,
        ),
    ],
    stats=[Stat("Posts"), Stat("Drafts", {"published_at__isnull": True})],
)
