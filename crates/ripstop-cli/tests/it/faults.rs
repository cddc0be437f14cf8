//! Faults of configurations, as `ripstop check` tells them.

use ripstop_testkit::Certificates;

use crate::program::{Home, ended};

#[track_caller]
fn check(text: &str, faults: &[&str]) {
    let home = Home::new();
    home.write("here.pem", "");
    home.write("public/index.html", "hello");
    home.write("r.toml", text);
    let ended = home.run(&["check", "--config", "r.toml"]);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines, faults, "{text}");
    assert_eq!(ended.code, 78);
    assert_eq!(ended.stdout, "");
}

#[test]
fn every_fault_is_told_at_once_and_in_order() {
    check(
        "[server]\nworkers = 0\n\n[[route]]\npath = \"/*\"\nfiles = { root = \"none\", indx = [] }\n\n\
         [timeouts]\nidle = 75\n",
        &[
            "r.toml:2:11: server.workers must be a whole number from 1 to 1024, not 0",
            "r.toml:6:18: files: cannot open none as a directory: No such file or directory (os \
             error 2)",
            "r.toml:6:26: unknown key \"indx\" in route.files, did you mean \"index\"?",
            "r.toml:9:8: timeouts.idle must be a duration from \"1ms\" to \"1d\" (units ms, s, m, \
             h, d), or \"off\", not 75",
        ],
    );
}

#[test]
fn certificates_are_loaded_by_the_check() {
    check(
        "[[listen]]\naddress = \":8443\"\n\
         tls.certificates = [{ chain = \"here.pem\", key = \"none.pem\" }]\n",
        &[
            "r.toml:3:31: listen.tls: here.pem must hold a certificate in PEM, and has none",
            "r.toml:3:49: listen.tls: cannot read none.pem: No such file or directory (os error \
             2)",
        ],
    );
}

#[test]
fn the_key_of_another_certificate_is_a_fault() {
    let home = Home::new();
    let certificates = Certificates::new().unwrap();
    let (a, b) = (certificates.server("a", &["a"]), certificates.server("b", &["b"]));
    let (chain, key) = (a.unwrap().chain, b.unwrap().key);
    let text = format!(
        "[[listen]]\naddress = \":8443\"\n[[listen.tls.certificates]]\nchain = {chain:?}\nkey = {key:?}\n"
    );
    home.write("ripstop.toml", &text);
    let ended = home.run(&["check"]);
    assert_eq!(ended.code, 78);
    assert!(ended.stderr.starts_with("ripstop.toml:5:7: listen.tls: "), "{ended:?}");
    assert!(ended.stderr.contains("does not belong"), "{ended:?}");
}

#[test]
fn error_pages_must_be_there() {
    check(
        "[[route]]\npath = \"/*\"\n[route.files]\nroot = \"public\"\n\
         error_pages = { 404 = \"404.html\" }\n",
        &["r.toml:4:8: files: cannot read the page \"404.html\" below the root: No such file or \
           directory (os error 2)"],
    );
}

#[test]
fn a_configuration_that_is_not_there_or_not_text_is_a_fault() {
    let home = Home::new();
    let ended = home.run(&["check", "--config", "none.toml"]);
    assert_eq!(ended.code, 78);
    assert!(ended.stderr.starts_with("none.toml: no such file"), "{ended:?}");
    std::fs::write(home.path().join("latin1.toml"), b"# \xe4\n").unwrap();
    let ended = home.run(&["check", "--config", "latin1.toml"]);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (78, "latin1.toml: not UTF-8, it must be TOML\n")
    );
}

#[test]
fn faults_of_variables_name_them() {
    let home = Home::new();
    let mut command = home.command(&["check"]);
    let command = command.env("RIPSTOP_TIMEOUTS_IDLE", "soon").env("RIPSTOP_LISTEN", ":1,:1");
    let ended = ended(command.output().unwrap());
    assert_eq!(ended.code, 78);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert!(ended.stderr.contains("RIPSTOP_TIMEOUTS_IDLE: timeouts.idle must be a duration"));
    assert!(ended.stderr.contains("RIPSTOP_LISTEN: [::]:1 is already listened on"));
}

#[test]
fn the_folder_to_serve_must_be_there() {
    let ended = Home::new().run(&["serve", "nowhere"]);
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(ended.stderr.starts_with("DIR: files: cannot open nowhere"), "{ended:?}");
}
