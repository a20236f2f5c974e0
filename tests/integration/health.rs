//! What grpc.health.v1 says, and when.

use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use topicd::api::pb;

use crate::server_process::{ServerProcess, topicd};
use crate::support::{LONG, TestServer, article, assert_error, examples, request, train_request};
use crate::versions::damage;

/// What can be asked about: the server, which has no name, and its services.
const NAMES: [&str; 5] = [
    "",
    "topicd.v1.ClassifierService",
    "topicd.v1.DatasetService",
    "topicd.v1.ModelService",
    "topicd.v1.TrafficService",
];

pub(crate) async fn check(channel: &Channel, service: &str) -> Result<ServingStatus, tonic::Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(channel.clone()).check(request).await?.into_inner().status())
}

pub(crate) async fn watch(channel: &Channel, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner()
}

pub(crate) async fn next(watch: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    watch.message().await.unwrap().unwrap().status()
}

/// Waits for the news that the server serves.
async fn until_serving(watch: &mut Streaming<HealthCheckResponse>) {
    while next(watch).await != ServingStatus::Serving {}
}

#[tokio::test]
async fn the_server_and_each_of_its_services_can_be_checked_and_watched() {
    let server = TestServer::start().await;
    let (channel, _) = server.connect().await;
    let mut watches = Vec::new();
    for name in NAMES {
        assert_eq!(check(&channel, name).await.unwrap(), ServingStatus::Serving, "{name}");
        let mut watch = watch(&channel, name).await;
        assert_eq!(next(&mut watch).await, ServingStatus::Serving, "{name}");
        watches.push(watch);
    }
    assert_error(&check(&channel, "topicd.v1.Oracle").await.unwrap_err(), Code::NotFound, "TRANSPORT");

    server.stop.send(()).unwrap();
    for (watch, name) in watches.iter_mut().zip(NAMES) {
        assert_eq!(next(watch).await, ServingStatus::NotServing, "{name}");
        assert_error(&watch.message().await.unwrap_err(), Code::Unavailable, "DRAINING");
    }
    server.running.await.unwrap().unwrap();
}

async fn promote(channel: &Channel, number: u32) {
    let model_version = format!("classifiers/default/versions/{number}");
    let request = pb::PromoteModelVersionRequest { model_version, force: true, ..Default::default() };
    let mut models = pb::model_service_client::ModelServiceClient::new(channel.clone());
    models.promote_model_version(request).await.unwrap();
}

/// A server whose default classifier can't answer was SERVING, and was sent calls that all failed.
#[tokio::test]
async fn health_waits_for_the_default_classifier_to_answer() {
    let server = TestServer::start().await;
    let (channel, _) = server.connect().await;
    let mut versions = Vec::new();
    for (number, documents) in [(2, 0..40), (3, 0..60)] {
        // Other topics than the bundled model's, so that somebody has to promote them.
        let job = server.train(train_request("default", examples(documents))).await;
        assert_eq!(job.model_version, format!("classifiers/default/versions/{number}"));
        promote(&channel, number).await;
        let get = pb::GetModelVersionRequest { model_version: job.model_version };
        let version = server.models().await.get_model_version(get).await.unwrap().into_inner().model_version;
        versions.push(version.unwrap());
    }
    let path = server.data_dir().join("topicd.db");

    // Loaded from its file.
    let server = server.restart().await;
    let mut news = watch(&server.connect().await.0, "").await;
    until_serving(&mut news).await;

    // The one before answers instead.
    let server = server.restart_after(damage(&path, &versions[1])).await;
    let mut news = watch(&server.connect().await.0, "").await;
    until_serving(&mut news).await;

    // No version with an alias can answer.
    let TestServer { stop, running, parent, classify, model_files, .. } = server;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    drop((classify, model_files));
    damage(&path, &versions[0]).await;
    let server = ServerProcess::start(&parent.path().join("data")).await;
    let channel = server.channel.clone();
    let mut news = watch(&channel, "").await;
    assert_eq!(next(&mut news).await, ServingStatus::NotServing);
    // When this is answered, it has been tried.
    let refused = server.classifiers().classify(request(article())).await.unwrap_err();
    assert_error(&refused, Code::DataLoss, "DAMAGED_VERSION");
    for name in NAMES {
        assert_eq!(check(&channel, name).await.unwrap(), ServingStatus::NotServing, "{name}");
    }
    promote(&channel, 1).await;
    until_serving(&mut news).await;
    for name in NAMES {
        let mut news = watch(&channel, name).await;
        until_serving(&mut news).await;
    }
    server.classifiers().classify(request(article())).await.unwrap();

    let log = server.stop().await.join("\n");
    let problem = "classifiers/default doesn't answer; health is NOT_SERVING until it does";
    assert_eq!(log.matches(problem).count(), 1, "{log}");
}

/// What the command says of a server and exits with; the address as in the environment of a container.
async fn ask(arguments: &[&str]) -> (Option<i32>, String, String) {
    let arguments: Vec<String> =
        std::iter::once("health").chain(arguments.iter().copied()).map(str::to_owned).collect();
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        topicd(std::path::Path::new("."), &arguments)
    });
    let output = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn the_command_tells_who_serves_who_does_not_and_who_is_not_there() {
    let server = TestServer::start_with(|config| config.lame_duck = LONG).await;
    let address = &*server.address.to_string();
    let url = &*format!("http://{address}");
    let patient = ["--timeout", "60", "--server", address];
    assert_eq!(ask(&patient).await, (Some(0), "SERVING\n".to_owned(), String::new()));
    let classifier_service = ["--timeout", "60", "--server", url, "--service", "topicd.v1.ClassifierService"];
    assert_eq!(ask(&classifier_service).await, (Some(0), "SERVING\n".to_owned(), String::new()));
    let (code, printed, said) = ask(&[&patient[..], &["--service", "topicd.v1.Oracle"]].concat()).await;
    assert_eq!((code, &*printed), (Some(1), ""));
    assert!(said.contains("has no service \"topicd.v1.Oracle\"; leave --service out"), "{said}");

    let mut news = watch(&server.connect().await.0, "").await;
    assert_eq!(next(&mut news).await, ServingStatus::Serving);
    server.stop.send(()).unwrap();
    assert_eq!(next(&mut news).await, ServingStatus::NotServing);
    for arguments in [&patient[..], &classifier_service] {
        let (code, printed, said) = ask(arguments).await;
        assert_eq!((code, &*printed), (Some(1), "NOT_SERVING\n"));
        assert!(said.contains("is starting or stopping, or its classifiers/default can't answer"), "{said}");
    }
    server.running.abort();

    // A port that nobody listens on, and one whose owner says nothing.
    let owner = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = owner.local_addr().unwrap().to_string();
    let (code, printed, said) = ask(&["--server", &silent]).await;
    assert_eq!((code, &*printed), (Some(1), ""));
    assert!(said.contains(&format!("no answer from {silent} within 1 s; see --timeout")), "{said}");
    drop(owner);
    let (code, printed, said) = ask(&["--server", &silent, "--timeout", "60"]).await;
    assert_eq!((code, &*printed), (Some(1), ""));
    assert!(said.contains(&format!("no topicd server answers at {silent}")), "{said}");

    for wrong in [["--timeout", "0"], ["--timeout", "soon"], ["--port", "50051"]] {
        let (code, printed, said) = ask(&wrong).await;
        assert!(code == Some(2) && printed.is_empty() && !said.is_empty(), "{said}");
    }
}
