//! `topicd models`: on a server and on a data directory the same.

use topicd::api::pb;

use crate::support::{TestServer, copy_directory, examples, server_with_three_versions, train_request};

/// What a command printed, and how it ended.
struct Outcome {
    code: Option<i32>,
    printed: String,
    said: String,
}

async fn run(arguments: Vec<String>, directory: std::path::PathBuf) -> Outcome {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_topicd"));
    command.args(arguments).current_dir(directory).env_remove("TOPICD_DATA_DIR");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), printed: text(output.stdout), said: text(output.stderr) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_listed_moved_and_carried_wherever_they_are() {
    let server = TestServer::start().await;
    for (n, c) in [(0, 0.3), (20, 0.4), (40, 0.5)] {
        let config = Some(pb::TrainingConfig { c, ..Default::default() });
        server.train(pb::TrainRequest { config, ..train_request("desk", examples(n..n + 20)) }).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let (data_dir, here) = (server.data_dir(), directory.path().join("here"));
    let server = server.restart_after(async { copy_directory(&data_dir, &here) }).await;
    let address = server.address.to_string();
    let on = async |place: [&str; 2], arguments: &[&str]| {
        let arguments =
            ["models"].iter().chain(arguments).chain(&place).map(|argument| (*argument).to_owned()).collect();
        run(arguments, directory.path().to_owned()).await
    };
    let both = async |arguments: &[&str]| {
        let of_server = on(["--server", &address], arguments).await;
        let of_store = on(["--data-dir", "here"], arguments).await;
        assert_eq!(
            (of_server.code, &of_server.printed),
            (of_store.code, &of_store.printed),
            "{}{}",
            of_server.said,
            of_store.said
        );
        of_server
    };

    let listed = both(&["list", "--classifier", "desk"]).await.printed;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!((lines[0], lines.len()), ("classifiers/desk  3 versions", 4));
    assert!(
        lines[1].contains("3  stable") && lines[2].contains("2  previous") && lines[3].contains("trained"),
        "{listed}"
    );
    assert_eq!(both(&["list"]).await.printed.lines().filter(|line| line.starts_with("classifiers/")).count(), 2);
    assert_eq!(both(&["list", "--json"]).await.printed.lines().count(), 4);
    assert_eq!(both(&["list", "--classifier", "nobody"]).await.code, Some(1));
    let shown = both(&["show", "desk/2"]).await.printed;
    assert!(shown.starts_with("classifiers/desk/versions/2  trained") && shown.contains("accuracy"), "{shown}");
    assert_eq!(both(&["show", "desk/9"]).await.code, Some(1));

    let compared = both(&["compare", "desk/1", "desk"]).await;
    assert_eq!(compared.code, Some(0), "{}", compared.said);
    let lines: Vec<&str> = compared.printed.lines().collect();
    assert_eq!(lines[0], "classifiers/desk, revision 3 of its documents");
    assert_eq!(lines[2], "60        documents    desk/1    desk/3    change");
    assert_eq!(lines[3], "accuracy               1.0000    1.0000   +0.0000");
    assert_eq!(lines[6], "new to it                  40         0");
    assert_eq!(lines[8], "Both get the same documents right.");
    let json: serde_json::Value =
        serde_json::from_str(&both(&["compare", "desk/2", "desk/3", "--json"]).await.printed).unwrap();
    assert_eq!((&json["modelVersionB"], &json["datasetRevision"]), (&"classifiers/desk/versions/3".into(), &3.into()));
    assert_eq!(json["comparison"]["metricsA"]["newDocumentCount"], "20");
    assert_eq!(both(&["compare", "desk/1", "desk/9"]).await.code, Some(1));
    let refused = both(&["compare", "desk/1", "default"]).await;
    assert!(refused.code == Some(1) && refused.said.contains("is no version of classifiers/desk"), "{}", refused.said);
    // The one that came with the program has no documents.
    let refused = both(&["compare", "default/1", "default"]).await;
    assert!(refused.code == Some(1) && refused.said.contains("no stored documents"), "{}", refused.said);

    let moved = both(&["promote", "desk/1"]).await.printed;
    assert_eq!(
        moved,
        "classifiers/desk/versions/1 is the stable version; classifiers/desk/versions/3 is the previous one.\n"
    );
    assert_eq!(both(&["delete", "desk/3"]).await.code, Some(1));
    assert_eq!(both(&["delete", "desk/2"]).await.printed, "classifiers/desk/versions/2 is deleted.\n");
    let moved = both(&["rollback", "desk"]).await.printed;
    assert!(moved.starts_with("classifiers/desk/versions/3 is the stable version"), "{moved}");

    let exported = both(&["export", "desk/1", "--out", "desk.topicd"]).await;
    assert!(exported.printed.starts_with("classifiers/desk/versions/1: "), "{}", exported.said);
    let imported = both(&["import", "desk.topicd", "--classifier", "copy"]).await.printed;
    assert_eq!(imported, "classifiers/copy/versions/1 is stored; `topicd models promote` makes it answer.\n");
    std::fs::write(directory.path().join("none.topicd"), "no model").unwrap();
    assert_eq!(both(&["import", "none.topicd", "--classifier", "copy"]).await.code, Some(1));
    assert_eq!(both(&["promote", "copy/1"]).await.printed, "classifiers/copy/versions/1 is the stable version.\n");

    // What was changed in the directory is what a server on it says, and the built-in model is as it was.
    let listed = both(&["list"]).await.printed;
    assert!(listed.contains("classifiers/default  1 versions\n      1  stable     built in"), "{listed}");
}

/// What two versions say differently is shown as files are compared, by the names that documents have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_that_differ_are_compared_document_by_document() {
    let server = server_with_three_versions().await;
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["models", "compare", "desk/2", "desk/candidate", "--show", "1", "--server"];
    let arguments = arguments.into_iter().map(str::to_owned).chain([server.address.to_string()]).collect();
    let compared = run(arguments, directory.path().to_owned()).await;
    assert_eq!(compared.code, Some(0), "{}", compared.said);
    let printed = &compared.printed;
    assert!(printed.contains("Only desk/2 gets 60 documents right, only desk/3 0: desk/2 is better"), "{printed}");
    assert!(printed.contains("largest losses in F1\ntopic  desk/2  desk/3"), "{printed}");
    let documents = printed.split("\n\n").last().unwrap();
    let lines: Vec<&str> = documents.lines().collect();
    assert_eq!((lines[0], lines.len()), ("1 of 60 documents that get different topics", 5));
    assert!(lines[3].starts_with("    desk/2") && lines[3].ends_with("  ✓"), "{documents}");
    assert!(lines[4].starts_with("    desk/3") && lines[4].contains("other "), "{documents}");
}
