//! Whom the server runs as: the keys `user`, `group` and `groups` of `[server]`.
//!
//! Owns the faults of an account that is not there, or that this process cannot be.

use ripstop::{Account, AccountError, Groups, PrivilegesError};
use serde_json::json;

use super::kind::{Choice, text};
use super::reader::Table;
use crate::error::chain;

const GROUPS: Choice<Groups> = Choice(&[("user", Groups::OfUser), ("none", Groups::None)]);

/// Reads the account; `None` for whoever starts the server.
pub(super) fn read(table: &mut Table<'_, '_>) -> Option<Account> {
    let user = table.optional(
        "user",
        &text("a user"),
        json!("www"),
        "Whom the server runs as, by name or number: it is started as root, binds its listeners, and \
         is this user before it reads anything else that is named here. Left out: whoever starts it. \
         Takes a restart.",
    );
    let group = table.optional(
        "group",
        &text("a group"),
        json!("www"),
        "Its group, by name or number. Left out: the user's own.",
    );
    let groups = table.field(
        "groups",
        &GROUPS,
        Groups::OfUser,
        "Its supplementary groups: \"user\", those that the user is in, or \"none\".",
    );
    let Some(user) = user else {
        if group.is_some() {
            let place = table.place_of("group");
            table.fault(place, "server.group is only for a server.user, which must be said, too");
        }
        return None;
    };
    let account = match Account::find(&user, group.as_deref(), groups) {
        Ok(account) => account,
        Err(err) => {
            let (key, place) = match &err {
                AccountError::UnknownGroup(_) => ("group", table.place_of("group")),
                AccountError::RootsGroup if group.is_some() => ("group", table.place_of("group")),
                _ => ("user", table.place_of("user")),
            };
            table.fault(place, format!("server.{key}: {}", chain(&err)));
            return None;
        }
    };
    if !account.is_possible() {
        let place = table.place_of("user");
        table.fault(place, format!("server.user: {}", PrivilegesError::NotRoot(account.clone())));
    }
    Some(account)
}
