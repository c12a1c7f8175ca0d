"""The pages that replay: a dry run, its confirmation, and the result."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from tracing.dlq.documents import status_words
from tracing.dlq.places import LetterId
from tracing.dlq_web.choice import Choice
from tracing.dlq_web.guard import FORM
from tracing.dlq_web.problems import PageError, not_allowed, not_valid

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from tracing.dlq_web.guard import Secrets
    from tracing.dlq_web.rendering import Rendering
    from tracing.dlq_web.replay_plans import Plan, Plans
    from tracing.dlq_web.settings import Settings


class ReplayPages:
    """Handles the requests of the pages that replay.

    Args:
        settings: The options of the server.
        plans: Makes plans, and carries them out.
        rendering: Makes pages.
        secrets: The secrets of this start, for addresses.
    """

    def __init__(
        self, settings: Settings, plans: Plans, rendering: Rendering, secrets: Secrets
    ) -> None:
        self._settings = settings
        self._plans = plans
        self._rendering = rendering
        self._base = secrets.base

    async def make(self, request: Request) -> Response:
        """Make a dry run for the selected dead letters; nothing is sent."""
        form = self._form(request)
        plan = await self._plans.make(self._places(form), again="again" in form)
        return self._to(plan)

    async def show(self, request: Request) -> Response:
        """Show a dry run, or what became of it."""
        plan = self._plans.find(request.path_params["plan"])
        return self._rendering.page(
            "replay",
            plan=plan,
            choice=Choice(topic=plan.topic),
            sending=[(each, status_words(each.status) or "no") for each in plan.sending],
            before=[(each, status_words(each.status) or "no") for each in plan.before],
            outcomes=[(each, plan.outcome(each.place)) for each in plan.sending],
        )

    async def send(self, request: Request) -> Response:
        """Send what a dry run has shown."""
        form = self._form(request)
        plan = self._plans.find(request.path_params["plan"])
        # What was sent before is shown, however the form is sent again.
        if plan.can_be_sent and plan.of_others and "others" not in form:
            raise PageError(
                HTTPStatus.BAD_REQUEST,
                "Nothing was sent",
                "Dead letters of other systems are sent only after you have ticked that all groups "
                "may handle them. Go back to do so.",
            )
        await self._plans.carry_out(plan)
        return self._to(plan)

    def _form(self, request: Request) -> dict[str, list[str]]:
        if not self._settings.allow_replay:
            raise not_allowed()
        form: dict[str, list[str]] = request.scope[FORM]
        return form

    def _places(self, form: dict[str, list[str]]) -> list[LetterId]:
        """Return the selected places.

        Raises:
            PageError: They are not valid, or too many.
        """
        try:
            chosen = form.get("shown" if "all" in form else "id", [])
            places = sorted({LetterId.parse(each) for each in chosen})
        except ValueError as error:
            raise not_valid(error) from None
        if not places:
            raise PageError(
                HTTPStatus.BAD_REQUEST, "No dead letter is selected", "Go back and tick some."
            )
        most = self._settings.page
        if len(places) > most or len({place.topic for place in places}) > 1:
            raise not_valid(f"A replay takes up to {most} dead letters of one dead-letter topic")
        return places

    def _to(self, plan: Plan) -> Response:
        # Another address, so that loading the page again sends no form again.
        return RedirectResponse(f"{self._base}/replay/{plan.id}", HTTPStatus.SEE_OTHER)
