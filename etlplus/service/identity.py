"""
The identity facet: who is who, and what makes a token stop counting.

A token carries the user's epoch. Signing out, a changed password or role, or disabling a user raises the epoch, and every
token of an older epoch is refused from then on. While the store is out none of this can happen, and a token counts if it
counted when the store was last asked.
"""

from __future__ import annotations

from etlplus.errors import Conflict, NotFound, StoreUnavailable, Unauthenticated
from etlplus.jobs.users import User, UserDraft
from etlplus.service.checking import checked
from etlplus.service.facet import Facet
from etlplus.service.permissions import ROLES, Principal
from etlplus.service.views import Grant, UserView

SEEN_MAX = 1000
"""Users that are remembered for an outage; those who were seen last."""


class IdentityFacet(Facet):
    """See ``contract.Identity``."""

    async def bootstrap(self, token: str, name: str, password: str) -> UserView:
        if not self.house.bootstrap.accepts(token):
            raise Unauthenticated("this is not the bootstrap token, or it was used before", code="bootstrap_refused")
        hashed = await self.house.passwords.hash(password)
        draft = checked(UserDraft(name=name, password_hash=hashed, role="admin"), UserDraft)
        try:
            user = await self.house.store.claim_bootstrap(draft, now=self.house.now())
        except Conflict:
            self.house.bootstrap.close()
            raise
        self.house.bootstrap.close()
        return _user_view(user)

    async def sign_in(self, name: str, password: str) -> Grant:
        user = await self.house.store.user_named(name)
        known = await self.house.passwords.verify(user.password_hash if user else None, password)
        if user is None or not known or user.disabled:
            raise Unauthenticated("name or password is wrong", code="wrong_credentials")
        issued = self.house.tokens.issue(user.id, epoch=user.auth_epoch, now=self.house.now())
        return Grant(
            access_token=issued.token,
            expires_at=issued.expires_at,
            expires_in_s=round((issued.expires_at - self.house.now()).total_seconds()),
        )

    async def me(self) -> UserView:
        return UserView(self.who.id, self.who.name, self.who.role, sorted(self.who.permissions))

    async def sign_out(self) -> None:
        await self.house.store.bump_epoch(self.who.id)

    async def authenticate(self, token: str) -> Principal:
        claims = self.house.tokens.verify(token, now=self.house.now())
        user = await self._present(claims.user_id)
        if user.disabled or claims.epoch != user.auth_epoch:
            raise Unauthenticated("the token was revoked", code="invalid_token")
        return Principal(user.id, user.name, user.role, ROLES[user.role], claims.expires_at)

    async def _present(self, user_id: str) -> User:
        """The user as he is now; while the store is out, as he was when last seen, so that its outage can be looked at."""
        seen = self.house.seen
        try:
            user = await self.house.store.user(user_id)
        except NotFound:
            seen.pop(user_id, None)
            raise Unauthenticated("the user is gone", code="invalid_token") from None
        except StoreUnavailable:
            if user_id not in seen:
                raise
            return seen[user_id]
        seen.pop(user_id, None)
        seen[user_id] = user
        if len(seen) > SEEN_MAX:
            del seen[next(iter(seen))]
        return user


def _user_view(user: User) -> UserView:
    return UserView(user.id, user.name, user.role, sorted(ROLES[user.role]))
