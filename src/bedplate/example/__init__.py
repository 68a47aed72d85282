"""The built-in modules: the core, and posts as the pattern for your own resource.

Posts stand above both frameworks, as the modules of a project do.
"""

from bedplate.example.posts import module as posts
from bedplate.modules import CORE

BUILT_IN = (*CORE, posts)
"""The core modules and posts, the example of a resource."""

__all__ = ["BUILT_IN", "posts"]
