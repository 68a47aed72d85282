from bedplate.core.permissions import Permission

READ_ANY = Permission("posts:read_any", "Read drafts of others.")
WRITE_ANY = Permission("posts:write_any", "Change, publish and delete posts of others.")
