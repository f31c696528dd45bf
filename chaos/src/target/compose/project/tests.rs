//! That the files of compose and what is said here of them are about the same containers.

use super::*;
use std::collections::BTreeSet;

const BASE: &str = include_str!("../../../../../docker-compose.yml");
const OVERRIDE: &str = include_str!("../../../../compose.yml");

/// The lines of each service.
fn services(file: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut services = BTreeMap::new();
    let mut name = None;
    let lines = file.lines().skip_while(|line| *line != "services:").skip(1);
    for line in lines.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        let head = line
            .strip_prefix("  ")
            .and_then(|line| line.strip_suffix(':'));
        if let Some(head) = head.filter(|head| !head.starts_with(' ')) {
            name = Some(head);
        }
        let of = services.entry(name.unwrap_or_default());
        of.or_insert_with(Vec::new).push(line.trim());
    }
    services
}

fn project() -> Project {
    Project {
        options: Options {
            root: PathBuf::from("/repository"),
            dir: PathBuf::from("/logs"),
            project: "tenure-chaos".to_owned(),
            nodes: 3,
            slots: 8,
            token: "a token".to_owned(),
            previous: Some("tenure:before".to_owned()),
        },
        tool: vec!["docker", "compose"],
        net: [10, 214, 7],
        member_ports: vec![20_001, 20_002, 20_003],
        node_ports: vec![20_004, 20_005, 20_006],
        ids: BTreeMap::new(),
    }
}

/// What compose finds in its environment.
fn environment(build: Build) -> BTreeMap<String, String> {
    let command = project().compose(build);
    let set = command.as_std().get_envs();
    let text = |text: &std::ffi::OsStr| text.to_str().unwrap().to_owned();
    set.map(|(name, value)| (text(name), text(value.unwrap())))
        .collect()
}

#[test]
fn both_files_have_the_same_services_and_they_are_the_ones_known_here() {
    let known: BTreeSet<&str> = [&MEMBERS[..], &NODES[..]].concat().into_iter().collect();

    assert_eq!(services(BASE).into_keys().collect::<BTreeSet<_>>(), known);
    assert_eq!(
        services(OVERRIDE).into_keys().collect::<BTreeSet<_>>(),
        known
    );
}

#[test]
fn every_container_has_the_address_at_which_it_is_looked_for() {
    let (services, project) = (services(OVERRIDE), project());
    let members = MEMBERS.iter().enumerate();
    let members = members.map(|(nth, name)| (name, project.member_at(nth)));
    let nodes = NODES.iter().enumerate();
    let nodes = nodes.map(|(nth, name)| (name, project.node_at(nth)));
    for (name, at) in members.chain(nodes) {
        let [.., last] = at.octets();
        let line = format!(
            "networks: {{ default: {{ ipv4_address: \"${{TENURE_CHAOS_NET}}.{last}\" }} }}"
        );
        assert!(
            services[name].contains(&line.as_str()),
            "{name} is not at {at}"
        );
    }
    assert!(OVERRIDE.contains("gateway: ${TENURE_CHAOS_NET}.1\n"));
    assert_eq!(project.gateway().to_string(), "10.214.7.1");
}

#[test]
fn nothing_comes_back_by_itself() {
    let of_nodes = "x-node: &node\n  restart: \"no\"\n";
    assert!(OVERRIDE.contains(of_nodes));
    for (name, lines) in services(OVERRIDE) {
        let own = lines.contains(&"restart: \"no\"") || lines.contains(&"<<: *node");
        assert!(own, "{name} is started again by docker");
    }
}

#[test]
fn every_variable_that_is_set_is_read_and_every_one_that_is_needed_is_set() {
    let set = environment(Build::Previous);
    let files = [BASE, OVERRIDE].concat();

    for name in set.keys() {
        assert!(
            files.contains(&format!("${{{name}")),
            "{name} is read by no file"
        );
    }
    let needed = files
        .split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once(":?"));
    for (name, _) in needed.filter(|(name, _)| !name.contains('}')) {
        assert!(set.contains_key(name), "{name} is not set");
    }
    assert_eq!(set["TENURE_ETCD_PORT_3"], "20003");
    assert_eq!(set["TENURE_PORT_1"], "20004");
    assert_eq!(set["TENURE_CHAOS_NET"], "10.214.7");
}

#[test]
fn only_what_is_of_the_previous_build_has_its_image() {
    assert_eq!(
        environment(Build::Previous)["TENURE_IMAGE"],
        "tenure:before"
    );
    assert!(!environment(Build::Present).contains_key("TENURE_IMAGE"));
}

#[test]
fn who_names_no_image_of_the_build_before_is_told_how_to() {
    let named = project().options;
    assert_eq!(named.has_previous(), Made::Yes);

    let unnamed = Options {
        previous: None,
        ..named
    };
    let made = unnamed.has_previous();
    let is_so = matches!(&made, Made::Cannot(why) if why.ends_with("say --previous"));
    assert!(is_so, "{made:?}");
}

#[test]
fn ports_are_free_different_and_none_that_outgoing_connections_take() {
    let ports = free_ports(6).unwrap();

    assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 6);
    assert!(ports.iter().all(|port| PORTS.contains(port)), "{ports:?}");
}
