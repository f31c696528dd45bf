//! The kinds of work that the settings enable on a node.

use crate::config::Config;
use crate::worker::kinds::{Allow, Builder, CommandOptions, HttpOptions, Kinds, Reach};

pub(super) fn built_in(config: &Config) -> Builder {
    let reach = if config.http_allow.is_empty() {
        Reach::Public
    } else {
        Reach::PublicAnd(config.http_allow.clone())
    };
    let kinds = Kinds::builder().http(HttpOptions {
        reach,
        ..HttpOptions::default()
    });
    let allow = match (config.allow_command, config.allow_command_path.is_empty()) {
        (_, false) => Allow::Only(config.allow_command_path.clone()),
        (true, true) => Allow::Any,
        (false, true) => return kinds,
    };
    let tail_bytes = usize::try_from(config.output_tail.0).unwrap_or(usize::MAX);
    kinds.command(CommandOptions {
        grace: config.command_grace,
        tail_bytes,
        ..CommandOptions::new(allow)
    })
}
