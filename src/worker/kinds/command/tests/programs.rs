//! Which programs are started.

use std::path::PathBuf;

use super::*;

#[tokio::test]
async fn a_program_is_found_by_name_or_absolute_path_and_by_nothing_else() {
    let by_name = run(json!({"argv": ["true"]})).await;
    let by_path = run(json!({"argv": ["/bin/true"]})).await;
    let relative = run(json!({"argv": ["./true"], "cwd": "/bin"})).await;
    let nowhere = run(json!({"argv": ["no-such-program-at-all"]})).await;
    let missing = run(json!({"argv": ["/no/such/program"]})).await;

    assert_eq!(by_name.outcome, Outcome::Succeeded);
    assert_eq!(by_path.outcome, Outcome::Succeeded);
    assert!(relative.error.unwrap().contains("relative path"));
    assert!(nowhere.error.unwrap().contains("not in the PATH"));
    assert!(
        missing
            .error
            .unwrap()
            .starts_with("cannot start /no/such/program: No such file")
    );
}

#[tokio::test]
async fn where_only_some_programs_are_allowed_no_other_way_leads_to_one() {
    let directory = TempDir::new().unwrap();
    let here = directory.path().canonicalize().unwrap();
    let real = PathBuf::from("/bin/echo").canonicalize().unwrap();
    std::os::unix::fs::symlink(&real, here.join("link-to-allowed")).unwrap();
    std::os::unix::fs::symlink("/bin/cat", here.join("echo")).unwrap();
    let kinds = kinds(CommandOptions {
        path: here.clone().into(),
        ..CommandOptions::new(Allow::Only(vec![real.clone()]))
    });
    let start =
        |argv: Value, env: Value| kinds.run(run_of(NAME, &json!({"argv": argv, "env": env})));
    let around = format!("/proc/../{}", real.display());

    let allowed = [
        json!([real, "x"]),
        json!([here.join("link-to-allowed"), "x"]),
        json!([around, "x"]),
    ];
    let refused = [
        json!(["/bin/cat"]),
        json!(["echo"]),
        json!([here.join("echo")]),
    ];

    for argv in allowed {
        let ended = start(argv.clone(), json!({})).await;
        assert_eq!(output(&ended).stdout, "x\n", "{argv}");
    }
    for argv in refused {
        let ended = start(argv.clone(), json!({})).await;
        assert!(
            ended.error.unwrap().contains("is not among those"),
            "{argv}"
        );
    }
    for name in ["LD_PRELOAD", "PATH", "BASH_ENV", "PYTHONPATH"] {
        let ended = start(json!([real]), json!({name: "/tmp"})).await;
        assert!(
            ended
                .error
                .unwrap()
                .contains(&format!("variable {name} is refused"))
        );
    }
}

#[test]
fn a_list_of_programs_holds_real_files_by_their_real_paths() {
    let directory = TempDir::new().unwrap();
    let here = directory.path().canonicalize().unwrap();
    let real = PathBuf::from("/bin/echo").canonicalize().unwrap();
    std::os::unix::fs::symlink(&real, here.join("link")).unwrap();
    let build = |path: PathBuf| {
        let options = CommandOptions::new(Allow::Only(vec![path]));
        Kinds::builder()
            .command(options)
            .build()
            .err()
            .map(|error| error.to_string())
    };

    assert_eq!(build(real.clone()), None);
    let link = build(here.join("link")).unwrap();
    assert!(
        link.ends_with(&format!("list {} instead", real.display())),
        "{link}"
    );
    assert!(build("bin/echo".into()).is_some());
    assert!(
        build(here.join("missing"))
            .unwrap()
            .contains("cannot be found")
    );
    assert!(build(here).unwrap().contains("it is no file"));
}
