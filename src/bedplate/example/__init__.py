"""The example: the built-in modules and posts, served where no project is.

Posts are the pattern for a resource of your own. They stand above both frameworks, as a
project's modules do.
"""

from bedplate.example.posts import module as posts
from bedplate.modules import BUILT_IN

MODULES = (*BUILT_IN, posts)

__all__ = ["MODULES", "posts"]
