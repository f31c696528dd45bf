//! The kinds of work that the settings enable on a node, the slots they give it, and the circuit breakers that hold work back.

use anyhow::Context as _;

use crate::config::{self, Config};
use crate::worker::Machine;
use crate::worker::breaker::{Options, Rules};
use crate::worker::kinds::{Allow, Builder, CommandOptions, HttpOptions, Kinds, Reach};
use crate::worker::pool::{Bounds, Slots};

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

pub(super) fn slots(config: &Config, machine: Machine) -> Slots {
    let config::Slots { min, max } = config.slots;
    if min == max {
        return Slots::fixed(min);
    }
    let bounds = Bounds {
        min,
        max,
        blind_max: config::Slots::usual().max,
        cpu: config.slots_cpu,
        memory: config.slots_memory,
        idle: config.slots_idle,
    };
    Slots::adaptive(bounds, machine)
}

/// What has a breaker on this node, and what breakers go by.
///
/// # Errors
/// A kind that is no name.
pub(super) fn breakers_of(config: &Config) -> anyhow::Result<Options> {
    let kinds = config.breaker_kinds.iter().map(|kind| kind.parse());
    Ok(Options {
        hosts: config.breaker_http,
        kinds: kinds.collect::<Result<_, _>>().context("breaker-kinds")?,
        rules: Rules {
            window: config.breaker_window as usize,
            runs_min: config.breaker_runs as usize,
            share: config.breaker_share,
            open: config.breaker_open,
            open_max: config.breaker_open_max,
            probes: config.breaker_probes,
        },
    })
}
