from django.contrib.admin import AdminSite


class BedplateAdminSite(AdminSite):
    """Django's admin, signed in to by email."""
