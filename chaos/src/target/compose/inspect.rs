//! What `docker inspect` tells of a container, less what nobody here asks for.

use anyhow::Context as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Which service a container is of, as both generations of compose write it down.
const SERVICE: &str = "com.docker.compose.service";

/// One container, as it stood when docker was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) stand: Stand,
    /// Of its first process, as this machine counts them; none while it does not run. Another one after each start.
    pub(crate) pid: Option<u32>,
    /// In the network of the cluster; none while it does not run, or is detached.
    pub(crate) address: Option<Ipv4Addr>,
    /// The networks that it is part of, or will be once it runs.
    pub(super) networks: Vec<String>,
}

/// How a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It runs. Whether its own check says that it is well; false before the first check too.
    Runs { healthy: bool },
    /// It stands still.
    Paused,
    /// It has ended, with this code; it may also never have run.
    Ended { code: i64 },
}

impl Container {
    /// There is a process, even if it stands still.
    pub(super) fn lives(&self) -> bool {
        !matches!(self.stand, Stand::Ended { .. })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    id: String,
    state: State,
    config: Config,
    network_settings: Settings,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    paused: bool,
    pid: u32,
    exit_code: i64,
    health: Option<Health>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    networks: BTreeMap<String, Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "IPAddress")]
    address: String,
}

/// Containers by the name of their service.
///
/// # Errors
/// It is not what docker writes, or one is of no service.
pub(super) fn containers(json: &str) -> anyhow::Result<BTreeMap<String, Container>> {
    let told: Vec<Told> = serde_json::from_str(json).context("docker inspect")?;
    told.into_iter().map(named).collect()
}

fn named(told: Told) -> anyhow::Result<(String, Container)> {
    let Told {
        id,
        state,
        mut config,
        network_settings: Settings { networks },
    } = told;
    let service = config.labels.remove(SERVICE);
    let service = service.with_context(|| format!("container {id} is of no service"))?;
    let container = Container {
        id,
        stand: stand(&state),
        pid: (state.running && state.pid > 0).then_some(state.pid),
        address: networks.values().find_map(|one| one.address.parse().ok()),
        networks: networks.into_keys().collect(),
    };
    Ok((service, container))
}

/// Docker says of what is paused that it is running too.
fn stand(state: &State) -> Stand {
    match (state.running, state.paused) {
        (true, true) => Stand::Paused,
        (true, false) => Stand::Runs {
            healthy: state
                .health
                .as_ref()
                .is_some_and(|one| one.status == "healthy"),
        },
        (false, _) => Stand::Ended {
            code: state.exit_code,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// As docker 20.10 writes it, less what is not read.
    fn told(state: &Value, networks: &Value) -> String {
        let one = json!({
            "Id": "cb5f31d92d54", "Name": "/tenure-chaos_n1_1", "RestartCount": 0, "State": state,
            "Config": { "Labels": {
                "com.docker.compose.project": "tenure-chaos", "com.docker.compose.service": "n1" } },
            "NetworkSettings": { "IPAddress": "", "Networks": networks },
        });
        json!([one]).to_string()
    }

    fn state(running: bool, paused: bool, pid: u32, code: i64, health: &str) -> Value {
        json!({ "Status": "…", "Running": running, "Paused": paused, "OOMKilled": false, "Pid": pid,
            "ExitCode": code, "Health": { "Status": health, "FailingStreak": 0 } })
    }

    fn network(address: &str) -> Value {
        json!({ "tenure-chaos_default": { "IPAddress": address, "Gateway": "10.214.7.1" } })
    }

    #[test]
    fn how_a_container_stands_is_read() {
        let runs = |healthy| Stand::Runs { healthy };
        let ended = |code| Stand::Ended { code };
        let rows = [
            (state(true, false, 7, 0, "healthy"), runs(true), Some(7)),
            (state(true, false, 7, 0, "starting"), runs(false), Some(7)),
            (state(true, false, 7, 0, "unhealthy"), runs(false), Some(7)),
            (state(true, true, 7, 0, "healthy"), Stand::Paused, Some(7)),
            (state(false, false, 0, 137, "unhealthy"), ended(137), None),
            (state(false, false, 0, 0, "healthy"), ended(0), None),
        ];
        for (state, stand, pid) in rows {
            let all = containers(&told(&state, &network("10.214.7.21"))).unwrap();

            assert_eq!((all["n1"].stand, all["n1"].pid), (stand, pid), "{state}");
        }
    }

    #[test]
    fn where_a_container_is_is_read_and_that_it_is_nowhere() {
        let runs = state(true, false, 7, 0, "healthy");
        let rows = [
            (network("10.214.7.21"), Some("10.214.7.21"), 1),
            // One that has ended keeps its network, and no address in it.
            (network(""), None, 1),
            (json!({}), None, 0),
        ];
        for (networks, address, count) in rows {
            let all = containers(&told(&runs, &networks)).unwrap();

            let address = address.map(|one| one.parse().unwrap());
            assert_eq!(all["n1"].address, address, "{networks}");
            assert_eq!(all["n1"].networks.len(), count, "{networks}");
        }
    }

    #[test]
    fn what_has_no_health_is_not_healthy() {
        let mut state = state(true, false, 7, 0, "healthy");
        state.as_object_mut().unwrap().remove("Health");

        let all = containers(&told(&state, &network(""))).unwrap();

        assert_eq!(all["n1"].stand, Stand::Runs { healthy: false });
    }

    #[test]
    fn a_container_of_no_service_is_an_error() {
        let told = told(&state(true, false, 7, 0, "healthy"), &network(""));
        let strange = told.replace("compose.service", "compose.other");

        let error = containers(&strange).unwrap_err();

        assert!(error.to_string().contains("cb5f31d92d54 is of no service"));
    }
}
