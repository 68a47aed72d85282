"""The admin site. Every change goes through a service; Django's ORM only reads."""
