"""The API's app, where a server imports it by name."""

from api.app import create_app
from shared.settings import ApiSettings

app = create_app(ApiSettings.load())
