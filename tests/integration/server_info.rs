//! What the server tells about itself: limits and models, reflection.

use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorProto;
use topicd::api::pb::model_service_client::ModelServiceClient;
use topicd::api::pb::{GetServerInfoRequest, Limits, StoreSize};

use crate::support::{TestServer, article, examples, non_zero, request, train_request};

#[tokio::test]
async fn server_info_tells_the_limits_and_the_models() {
    let server = TestServer::start_with(|config| config.limits.max_documents_in_flight = non_zero(300)).await;
    let (channel, _) = server.connect().await;
    let info = ModelServiceClient::new(channel).get_server_info(GetServerInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.software_version, env!("CARGO_PKG_VERSION"));
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let expected = Limits {
        max_message_bytes: 16_777_216,
        max_document_bytes: 1_048_576,
        max_batch_documents: 256,
        max_documents_in_flight: 300,
        max_message_examples: 50_000,
        max_training_jobs: 16,
        max_topics: 1000,
        max_artifact_bytes: 536_870_912,
        max_model_bytes: 1_073_741_824,
        max_training_documents: 2_000_000,
        max_inbound_bytes: 1_073_741_824,
        max_training_bytes: 4_294_967_296,
        max_connections: 1000,
        max_streams_per_connection: 200,
        max_header_bytes: 16_384,
        handshake_timeout: seconds(10),
        idle_timeout: seconds(600),
        max_connection_age: seconds(3600),
        connection_grace: seconds(600),
    };
    assert_eq!(info.limits, Some(expected));

    let [model] = &info.models[..] else { panic!("{:?}", info.models) };
    assert_eq!(model.model_version, "classifiers/default/versions/1");
    assert!(model.n_terms > 0 && model.n_training_documents > 0 && !model.trained_by.is_empty(), "{model:?}");
    assert!(model.checksum.len() == 16 && model.checksum.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let answer = server.client().await.classify(request(article())).await.unwrap().into_inner();
    let mut topics: Vec<String> = answer.topics.into_iter().map(|score| score.topic).collect();
    topics.sort();
    assert_eq!(topics, model.topics);
}

async fn store_size(server: &TestServer) -> StoreSize {
    let info = server.models().await.get_server_info(GetServerInfoRequest {}).await.unwrap().into_inner();
    info.store.unwrap()
}

#[tokio::test]
async fn server_info_tells_how_much_is_stored() {
    let server = TestServer::start().await;
    let info = server.models().await.get_server_info(GetServerInfoRequest {}).await.unwrap().into_inner();
    let before = info.store.unwrap();
    // The program's own model, in memory and in the database.
    assert_eq!((info.models[0].resident_bytes, before.version_count), (before.artifact_bytes, 1));
    assert!(before.artifact_bytes > 1_000_000 && before.database_bytes > before.artifact_bytes, "{before:?}");
    assert_eq!(before.document_count, 0);

    server.train(train_request("desk", examples(0..40))).await;
    // One of these is given another topic, and one is there already: they replace what was there, or change nothing.
    let mut more = examples(38..60);
    more[0].topics = vec!["sport".to_owned()];
    server.train(train_request("desk", more)).await;
    server.train(train_request("other", examples(0..20))).await;
    let after = store_size(&server).await;
    assert_eq!((after.document_count, after.version_count), (80, 4));
    assert!(after.database_bytes > before.database_bytes && after.artifact_bytes > before.artifact_bytes, "{after:?}");

    let on_disk = |name: &str| std::fs::metadata(server.data_dir().join(name)).map_or(0, |file| file.len());
    assert_eq!(after.database_bytes, on_disk("topicd.db") + on_disk("topicd.db-wal"));
    let server = server.restart().await;
    let again = store_size(&server).await;
    assert_eq!((again.document_count, again.artifact_bytes), (after.document_count, after.artifact_bytes));
}

/// The two versions of reflection have types of the same names.
macro_rules! reflection_test {
    ($test:ident, $version:ident, $service:literal) => {
        #[tokio::test]
        async fn $test() {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            let server = TestServer::start().await;
            let questions = [
                MessageRequest::ListServices(String::new()),
                MessageRequest::FileContainingSymbol("topicd.v1.ClassifierService".to_owned()),
                MessageRequest::FileContainingSymbol("google.rpc.BadRequest".to_owned()),
            ];
            let requests = questions
                .map(|question| ServerReflectionRequest { host: String::new(), message_request: Some(question) });
            let mut client = ServerReflectionClient::new(server.connect().await.0);
            let mut answers = client.server_reflection_info(tokio_stream::iter(requests)).await.unwrap().into_inner();
            let mut next = async || answers.message().await.unwrap().unwrap().message_response.unwrap();

            let MessageResponse::ListServicesResponse(services) = next().await else { panic!("no list") };
            let mut names: Vec<String> = services.service.into_iter().map(|service| service.name).collect();
            names.sort();
            let mut expected = [
                "grpc.health.v1.Health",
                $service,
                "inference.GRPCInferenceService",
                "topicd.v1.ClassifierService",
                "topicd.v1.DatasetService",
                "topicd.v1.ModelService",
                "topicd.v1.TrafficService",
            ];
            expected.sort();
            assert_eq!(names, expected);

            let MessageResponse::FileDescriptorResponse(files) = next().await else { panic!("no file") };
            let file = FileDescriptorProto::decode(&*files.file_descriptor_proto[0]).unwrap();
            assert_eq!(file.name(), "topicd/v1/classifier_service.proto");
            let comments: Vec<String> = file
                .source_code_info
                .unwrap()
                .location
                .into_iter()
                .filter_map(|place| place.leading_comments)
                .collect();
            assert!(comments.iter().any(|comment| comment.contains("Classifies one document.")), "{comments:?}");

            let MessageResponse::FileDescriptorResponse(_) = next().await else { panic!("no error details") };
        }
    };
}

reflection_test!(reflection_v1_describes_what_is_mounted_with_comments, v1, "grpc.reflection.v1.ServerReflection");
// For grpcurl up to 1.8, and Python's grpcio-reflection.
reflection_test!(
    reflection_v1alpha_describes_what_is_mounted_with_comments,
    v1alpha,
    "grpc.reflection.v1alpha.ServerReflection"
);
