//! Commands that print something, and mistakes on the command line.

use crate::program::{Home, ended};

#[test]
fn help_and_version_are_no_fault() {
    let home = Home::new();
    for arguments in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        let ended = home.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}");
        assert!(ended.stdout.contains("ripstop"), "{arguments:?} {ended:?}");
    }
}

#[test]
fn mistakes_on_the_command_line_end_with_64() {
    let home = Home::new();
    let lines = [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &["config"],
        &["config", "nothing"],
        &["completions", "cmd.exe"],
        &["stop", "--timeout", "soon"],
        &["poison"],
        &["poison", "lift"],
        &["poison", "lift", "GET /"],
        &["poison", "lift", "1", "--all"],
        &["check", "--workers", "none"],
        &["serve", "--listen", "nowhere"],
        &["serve", "a", "b"],
    ];
    for arguments in lines {
        let ended = home.run(arguments);
        assert_eq!(ended.code, 64, "{arguments:?} {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert_ne!(ended.stderr, "", "{arguments:?}");
    }
}

#[test]
fn the_default_configuration_passes_the_check() {
    let home = Home::new();
    let default = home.run(&["config", "default"]);
    assert_eq!(default.code, 0);
    home.write("ripstop.toml", &default.stdout);
    let checked = home.run(&["check"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (0, "ripstop.toml: no faults\n"));
}

#[test]
fn without_a_configuration_the_defaults_pass_the_check() {
    let checked = Home::new().run(&["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.stdout.contains("defaults"), "{checked:?}");
}

#[test]
fn the_file_is_named_by_the_flag_before_the_variable_before_the_folder() {
    let home = Home::new();
    for name in ["flag.toml", "variable.toml", "ripstop.toml"] {
        home.write(name, "");
    }
    let check = |arguments: &[&str], variable: &str| {
        let mut command = home.command(&["check"]);
        let command = command.args(arguments).env("RIPSTOP_CONFIG", variable);
        ended(command.output().unwrap()).stdout
    };
    assert_eq!(check(&["--config", "flag.toml"], "variable.toml"), "flag.toml: no faults\n");
    assert_eq!(check(&[], "variable.toml"), "variable.toml: no faults\n");
    assert_eq!(check(&[], ""), "ripstop.toml: no faults\n");
}

#[test]
fn the_schema_is_json() {
    let schema = Home::new().run(&["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).unwrap();
    assert_eq!(schema["properties"]["server"]["properties"]["spares"]["default"], 4);
}

#[test]
fn the_reference_in_the_docs_is_the_one_of_this_program() {
    let reference = Home::new().run(&["config", "reference"]).stdout;
    let page = include_str!("../../../../docs/config.md");
    assert!(
        page == reference,
        "docs/config.md is old; renew it by: cargo run -- config reference > docs/config.md"
    );
}

#[test]
fn completions_and_manual_are_printed() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = home.run(&["completions", shell]);
        assert!(ended.code == 0 && ended.stdout.contains("reload"), "{shell} {ended:?}");
    }
    let manual = home.run(&["man"]).stdout;
    for section in [".TH ripstop 1", ".SH SIGNALS", ".SH EXIT STATUS", "SIGHUP"] {
        assert!(manual.contains(section), "{section}");
    }
}

#[test]
fn without_a_server_there_is_nothing_to_reload_or_stop() {
    let home = Home::new();
    for command in ["reload", "stop"] {
        let ended = home.run(&[command]);
        assert_eq!(ended.code, 69, "{ended:?}");
        assert!(ended.stderr.contains("ripstop.pid"), "{ended:?}");
    }
}

#[test]
fn the_pid_file_of_a_process_that_has_ended_is_not_believed() {
    let home = Home::new();
    let dead = home.command(&["--version"]).spawn().unwrap();
    let pid = dead.id();
    dead.wait_with_output().unwrap();
    let file = home.write("old.pid", &format!("{pid}\nstart 1\n"));
    let mut command = home.command(&["stop"]);
    let ended = ended(command.env("RIPSTOP_PID_FILE", file).output().unwrap());
    assert_eq!(ended.code, 69, "{ended:?}");
    assert!(ended.stderr.contains("has ended"), "{ended:?}");
}
