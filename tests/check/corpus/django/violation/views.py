from rest_framework import viewsets
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.viewsets import ModelViewSet

from .models import User


class UserViewSet(viewsets.ModelViewSet):  # finds: model-view-set
    queryset = User.objects.all()
    permission_classes = [IsAuthenticated]


class OpenViewSet(ModelViewSet):  # finds: model-view-set
    queryset = User.objects.all()
    permission_classes = [AllowAny]
