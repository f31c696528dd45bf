//! The table holds together, and the sources win over each other in the order promised.

use std::path::PathBuf;

use super::*;

/// Loads with flags, variables and the text of a file.
fn load(
    flags: &[(&'static str, &str)],
    env: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Loaded, Error> {
    let dir = tempfile::tempdir().unwrap();
    let mut flags = Flags::given(flags);
    flags.config = file.map(|text| {
        let path = dir.path().join("t.toml");
        std::fs::write(&path, text).unwrap();
        path
    });
    let env = |name: &str| {
        env.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| (*v).to_owned())
    };
    Loaded::read(&Sources {
        flags: &flags,
        env: &env,
    })
}

fn setting(name: &str) -> &'static Setting {
    Config::SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .unwrap()
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let flag: &[(&str, &str)] = &[("lease-ttl", "9s")];
    let env: &[(&str, &str)] = &[("TENURE_LEASE_TTL", "8s")];
    let file = Some("lease-ttl = '7s'");
    let table = [
        (flag, env, file, 9, "flag --lease-ttl"),
        (&[], env, file, 8, "environment TENURE_LEASE_TTL"),
        (&[], &[], file, 7, "t.toml:1"),
        (&[], &[("TENURE_LEASE_TTL", "")], file, 7, "t.toml:1"),
        (&[], &[], None, 5, "default"),
    ];
    for (flags, env, file, seconds, origin) in table {
        let loaded = load(flags, env, file).unwrap();
        assert_eq!(loaded.config.lease_ttl, Duration::from_secs(seconds));
        let seen = loaded.origin(setting("lease-ttl")).to_string();
        assert!(seen.ends_with(origin), "{seen} is not {origin}");
    }
}

#[test]
fn every_default_is_readable_and_valid() {
    Config::default().validate().unwrap();
    for setting in Config::SETTINGS {
        let mut config = Config::default();
        (setting.set)(&mut config, &[setting.default.to_owned()]).unwrap();
        for bound in setting.bound.iter().flat_map(|(low, high)| [low, high]) {
            (setting.set)(&mut config, &[(*bound).to_owned()]).unwrap();
            assert!((setting.in_bound)(&config), "{} {bound}", setting.name);
        }
        assert!(setting.doc_line().ends_with('.'), "{}", setting.name);
    }
}

#[test]
fn the_example_uncommented_is_the_defaults() {
    let text: String = example()
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(text.lines().count(), Config::SETTINGS.len());

    let loaded = load(&[], &[], Some(&text)).unwrap();

    assert_eq!(loaded.config, Config::default());
    assert_eq!(
        load(&[], &[], Some(&example())).unwrap().config,
        Config::default()
    );
}

#[test]
fn what_is_shown_reads_back_the_same() {
    let flags = [
        ("labels", "zone=a,rack=7"),
        ("allow-command", "true"),
        ("compaction", "off"),
    ];
    let loaded = load(&flags, &[], None).unwrap();

    let again = load(&[], &[], Some(&loaded.show(Origins::Shown))).unwrap();

    assert_eq!(again.config, loaded.config);
}

#[test]
fn secrets_are_shown_nowhere() {
    let env = [
        ("TENURE_TOKEN", "hunter2hunter2hunter2"),
        ("TENURE_ETCD_PASSWORD", "hunter2"),
    ];
    let loaded = load(&[], &env, None).unwrap();

    let shown = format!("{} {:?}", loaded.show(Origins::Shown), loaded);

    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("token = \"***\"  # environment TENURE_TOKEN"),
        "{shown}"
    );
    assert_eq!(
        loaded.config.token.unwrap().expose(),
        "hunter2hunter2hunter2"
    );
}

#[test]
fn a_secret_is_read_from_the_file_that_a_variable_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    std::fs::write(&path, "s3cret\n").unwrap();
    let path = path.display().to_string();

    let loaded = load(&[], &[("TENURE_ETCD_PASSWORD_FILE", &path)], None).unwrap();

    assert_eq!(loaded.config.etcd_password.unwrap().expose(), "s3cret");
    assert_eq!(
        setting("token").env_file(),
        None,
        "TENURE_TOKEN_FILE is token-file"
    );
}

#[test]
fn a_value_of_the_wrong_type_names_its_origin() {
    let error = load(&[], &[("TENURE_SLOTS", "many")], None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "slots: `many` is not a whole number, or two with the smaller one first, such as 2..32 (environment TENURE_SLOTS)"
    );
    let error = load(&[], &[], Some("slots = 1\nlisten = 'x'"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("listen: `x` is not an address") && error.contains("t.toml:2"),
        "{error}"
    );
}

#[test]
fn each_value_out_of_bounds_is_named_with_its_bound() {
    let table = [
        ("lease-ttl", "1s", "lease-ttl: `1s` is not in 2s to 60s"),
        ("lease-ttl", "61s", "is not in 2s to 60s"),
        ("lease-ttl", "2500ms", "is not in whole seconds"),
        ("slots", "5000", "slots: `5000` is not in 1 to 4096"),
        ("slots", "0..8", "slots: `0..8` is not in 1 to 4096"),
        ("slots", "8..5000", "slots: `8..5000` is not in 1 to 4096"),
        ("slots-cpu", "0.1", "slots-cpu: `0.1` is not in 0.2 to 1"),
        (
            "slots-memory",
            "NaN",
            "slots-memory: `NaN` is not in 0.2 to 1",
        ),
        ("slots-idle", "0s", "slots-idle: `0s` is not in 1s to 1h"),
        (
            "payload-limit",
            "2MiB",
            "payload-limit: `2MiB` is not in 1KiB to 1MiB",
        ),
        (
            "quota-refuse",
            "1",
            "quota-refuse: `1` is not in 0.1 to 0.95",
        ),
        ("compaction", "1s", "compaction: `1s` is not in 10s to 24h"),
        ("cluster", "a/b", "cluster: `a/b` is not a name"),
        ("cluster", "-a", "cluster: `-a` is not a name"),
        ("node-name", "a b", "node-name: `a b` is not a name"),
        ("node-name", ".a", "node-name: `.a` is not a name"),
        (
            "etcd-endpoints",
            "ftp://a:1",
            "etcd-endpoints: `ftp://a:1` has the unknown scheme",
        ),
        (
            "etcd-endpoints",
            "http://a:1,b",
            "etcd-endpoints: `http://a:1,b` has no port",
        ),
        (
            "etcd-endpoints",
            "https://a:1",
            "is https, but etcd-ca is not given",
        ),
        (
            "etcd-ca",
            "/nonexistent/ca.pem",
            "etcd-ca: `/nonexistent/ca.pem` cannot be read",
        ),
        ("etcd-endpoints", ",", "does not name 1 to 16"),
        (
            "embedded",
            "true",
            "data-dir: `` is not given, and the embedded etcd needs it: name a directory, or use `tenure dev`",
        ),
        (
            "embedded-listen",
            "127.0.0.1:2379",
            "embedded-listen: `127.0.0.1:2379` is for a node with an etcd of its own",
        ),
        ("etcd-user", "root", "goes with etcd-password"),
        ("etcd-cert", "c.pem", "goes with etcd-key"),
        ("allow-command-path", "bin/ls", "is not all absolute paths"),
        (
            "breaker-kinds",
            "command,a b",
            "breaker-kinds: `command,a b` is not all names of kinds",
        ),
        (
            "breaker-share",
            "0",
            "breaker-share: `0` is not in 0.01 to 1",
        ),
        ("breaker-runs", "21", "is more than breaker-window"),
        ("breaker-open", "6m", "is more than breaker-open-max"),
        ("advertise", "node-1", "is not an http(s):// URL"),
        (
            "listen",
            "0.0.0.0:8700",
            "is not loopback and there is no token",
        ),
        (
            "peer-listen",
            "[::]:8701",
            "is not loopback and there is no token",
        ),
        ("peer-advertise", "node-1", "is not host:port"),
        ("peer-key", "/nonexistent/key", "goes with the other two"),
        (
            "token-file",
            "/nonexistent/tokens",
            "cannot read /nonexistent/tokens",
        ),
    ];
    for (name, value, problem) in table {
        let loaded = load(&[(name, value)], &[], None).unwrap();
        let faults = loaded.config.validate().unwrap_err().to_string();
        assert!(faults.contains(problem), "{name}={value}: {faults}");
    }
}

#[test]
fn slots_are_a_number_or_a_range_in_every_source_and_shown_as_they_are_read() {
    let usual = Slots::usual();
    for (text, shown, meant) in [
        ("slots = 8", "slots = 8", Slots::fixed(8)),
        ("slots = '8..8'", "slots = 8", Slots::fixed(8)),
        (
            "slots = '2..32'",
            "slots = \"2..32\"",
            Slots { min: 2, max: 32 },
        ),
        ("slots = 0", &format!("slots = {}", usual.min), usual),
    ] {
        let loaded = load(&[], &[], Some(text)).unwrap();
        loaded.config.validate().unwrap();
        assert_eq!(loaded.config.slots, meant, "{text}");
        let all = loaded.show(Origins::Hidden);
        assert!(all.lines().any(|line| line == shown), "{all}");
    }
    for wrong in ["32..2", "2..", "..8", "2...8", "-1", "1.5", ""] {
        let problem = load(&[("slots", wrong)], &[], None).unwrap_err();
        let rule = "is not a whole number, or two with the smaller one first";
        assert!(problem.to_string().contains(rule), "{wrong}: {problem}");
    }
}

#[test]
fn labels_that_do_not_fit_a_node_are_refused() {
    let long = format!("{}=v", "k".repeat(65));
    let many: Vec<String> = (0..33).map(|nth| format!("k{nth}=v")).collect();
    for (labels, problem) in [
        (
            long,
            "has one that is too long; keys of 64 bytes and values of 256 are allowed",
        ),
        (format!("k={}", "v".repeat(257)), "has one that is too long"),
        (many.join(","), "has too many; at most 32 are allowed"),
    ] {
        let loaded = load(&[], &[("TENURE_LABELS", &labels)], None).unwrap();
        let faults = loaded.config.validate().unwrap_err().to_string();
        assert!(faults.contains(problem), "{faults}");
    }
    let twice = load(&[("labels", "zone=a,zone=b")], &[], None).unwrap_err();
    assert!(twice.to_string().contains("gives zone twice"), "{twice}");
}

#[test]
fn a_token_opens_a_listener_to_the_world() {
    let env = [
        ("TENURE_TOKEN", "0123456789abcdef"),
        ("TENURE_LISTEN", "0.0.0.0:9"),
    ];
    let config = load(&[("node-name", "n1")], &env, None).unwrap().config;

    config.validate().unwrap();

    assert_eq!(config.tokens().unwrap()[0].role, Role::Admin);
    assert_eq!(config.advertise, "http://n1:9");
}

#[test]
fn a_short_token_is_refused() {
    let config = Config {
        token: Some(Secret::new("short")),
        ..Config::default()
    };
    let faults = config.validate().unwrap_err().to_string();
    assert!(faults.contains("token: `***` is too short"), "{faults}");
}

#[test]
fn a_missing_file_is_an_error() {
    let flags = Flags {
        config: Some(PathBuf::from("/nonexistent.toml")),
        ..Flags::default()
    };
    let error = Loaded::read(&Sources {
        flags: &flags,
        env: &|_| None,
    })
    .unwrap_err();
    assert!(error.to_string().contains("cannot read /nonexistent.toml"));
}

#[test]
fn a_node_has_its_own_etcd_or_uses_another() {
    let own = [("embedded", "true"), ("data-dir", "d")];
    let more = |name, value| [&own[..], &[(name, value)]].concat();
    let table = [
        (own.to_vec(), None),
        (vec![("embedded", "memory")], None),
        (more("embedded-listen", "127.0.0.1:2379"), None),
        (more("embedded-listen", "[::1]:2379"), None),
        (
            more("embedded-listen", "0.0.0.0:2379"),
            Some("embedded-listen: `0.0.0.0:2379` is not loopback"),
        ),
        (
            [
                more("embedded-listen", "0.0.0.0:2379"),
                vec![("embedded-public", "true")],
            ]
            .concat(),
            None,
        ),
        (
            more("etcd-endpoints", "http://a:1"),
            Some("etcd-endpoints: `http://a:1` is given beside embedded"),
        ),
        // Also where it happens to be the default.
        (
            more("etcd-endpoints", "http://127.0.0.1:2379"),
            Some("is given beside embedded"),
        ),
    ];
    for (flags, problem) in table {
        let checked = load(&flags, &[], None).unwrap().config.validate();
        match (checked, problem) {
            (Ok(()), None) => {}
            (Err(faults), Some(problem)) => {
                assert!(faults.to_string().contains(problem), "{faults}");
            }
            (checked, _) => panic!("{flags:?}: {checked:?}"),
        }
    }
    let env = [
        ("TENURE_ETCD_ENDPOINTS", "http://a:1"),
        ("TENURE_EMBEDDED", "1"),
    ];
    let file = Some("data-dir = 'd'");
    let faults = load(&[], &env, file).unwrap().config.validate();
    assert!(faults.unwrap_err().to_string().contains("beside embedded"));
}

#[test]
fn embedded_is_read_from_a_flag_a_variable_or_a_file_and_shown_again() {
    for (text, meant) in [
        ("embedded = true", Embedded::Durable),
        ("embedded = 'memory'", Embedded::Memory),
        ("embedded = false", Embedded::No),
    ] {
        let loaded = load(&[], &[], Some(text)).unwrap();
        assert_eq!(loaded.config.embedded, meant);
        let again = load(&[], &[], Some(&loaded.show(Origins::Hidden))).unwrap();
        assert_eq!(again.config, loaded.config);
    }
    let wrong = load(&[], &[("TENURE_EMBEDDED", "disk")], None).unwrap_err();
    let wrong = wrong.to_string();
    assert!(
        wrong.contains("embedded: `disk` is not true, false or memory"),
        "{wrong}"
    );
}

#[test]
fn no_level_of_service_begins_before_the_one_above_it() {
    for (name, value) in [
        ("etcd-minimal", "0.6"),
        ("load-minimal", "0.4"),
        ("backlog-minimal", "0.8"),
        ("memory-minimal", "0.9"),
        ("cpu-minimal", "1"),
    ] {
        let mut config = Config::default();
        (setting(name).set)(&mut config, &[value.to_owned()]).unwrap();

        let wrong = config.validate().unwrap_err().to_string();

        let named = format!("{name}: `{value}` is below the level before it");
        assert!(wrong.starts_with(&named), "{wrong}");
    }
}
