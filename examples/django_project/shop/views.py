from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from shop.models import Basket


@api_view()
@permission_classes([IsAuthenticated])
def whoami(request: Request) -> Response:
    """Return the owner of an access token that Bedplate's API issued."""
    return Response({"email": request.user.email, "role": request.user.role})


@api_view(["POST"])
@permission_classes([IsAuthenticated])
def baskets(request: Request) -> Response:
    """Create a basket. The project writes its own tables with Django's ORM."""
    basket = Basket.objects.create(owner=request.user, note=request.data["note"])
    return Response({"id": basket.pk, "owner": basket.owner.email}, 201)
