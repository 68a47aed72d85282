from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from shop.models import Basket


@api_view()
@permission_classes([IsAuthenticated])
def whoami(request: Request) -> Response:
    """By the access token that Bedplate's API gave out."""
    return Response({"email": request.user.email, "role": request.user.role})


@api_view(["POST"])
@permission_classes([IsAuthenticated])
def baskets(request: Request) -> Response:
    """Write a table of the project, by Django."""
    basket = Basket.objects.create(owner=request.user, note=request.data["note"])
    return Response({"id": basket.pk, "owner": basket.owner.email}, 201)
