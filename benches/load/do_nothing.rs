//! The wire's own limit: servers with topicd's protocol, whose answer to every document is a copy of the same one. One has topicd's layers, and its
//! limits with them; the other is tonic's own, with those limits that it knows and a deadline.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;

use futures_util::stream::{BoxStream, StreamExt};
use prost::Message;
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use topicd::api::pb;
use topicd::api::pb::batch_classify_result::Result as BatchResult;
use topicd::api::pb::classifier_service_server::{ClassifierService, ClassifierServiceServer};
use topicd::api::pb::stream_classify_response::Result as StreamResult;
use topicd::config::{ConnectionLimits, Limits, LogFormat, ServeConfig};
use topicd::{server, telemetry};

/// What is around the service.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Layers {
    /// All that calls of topicd pass.
    OfTopicd,
    /// What tonic has.
    OfTonic,
}

struct DoNothing {
    answer: pb::ClassifyResponse,
}

#[tonic::async_trait]
impl ClassifierService for DoNothing {
    async fn classify(&self, _: Request<pb::ClassifyRequest>) -> Result<Response<pb::ClassifyResponse>, Status> {
        Ok(Response::new(self.answer.clone()))
    }

    async fn batch_classify(
        &self,
        request: Request<pb::BatchClassifyRequest>,
    ) -> Result<Response<pb::BatchClassifyResponse>, Status> {
        let result = pb::BatchClassifyResult { result: Some(BatchResult::Response(self.answer.clone())) };
        let results = vec![result; request.into_inner().documents.len()];
        Ok(Response::new(pb::BatchClassifyResponse { results }))
    }

    type StreamClassifyStream = BoxStream<'static, Result<pb::StreamClassifyResponse, Status>>;

    async fn stream_classify(
        &self,
        request: Request<Streaming<pb::StreamClassifyRequest>>,
    ) -> Result<Response<Self::StreamClassifyStream>, Status> {
        let answer = pb::StreamClassifyResponse { result: Some(StreamResult::Response(self.answer.clone())) };
        Ok(Response::new(request.into_inner().map(move |request| request.map(|_| answer.clone())).boxed()))
    }

    async fn train(&self, _: Request<pb::TrainRequest>) -> Result<Response<pb::TrainResponse>, Status> {
        Err(Status::unimplemented("this server does nothing"))
    }
}

/// Serves on a free port, which it prints, until it is killed.
pub(crate) async fn serve(answer: &Path, layers: Layers) {
    let answer = pb::ClassifyResponse::decode(&*std::fs::read(answer).unwrap()).unwrap();
    let service = ClassifierServiceServer::new(DoNothing { answer })
        .max_decoding_message_size(Limits::default().max_message_bytes.get() as usize)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Zstd);
    match layers {
        Layers::OfTopicd => behind_layers_of_topicd(service).await,
        Layers::OfTonic => behind_layers_of_tonic(service).await,
    }
}

async fn behind_layers_of_topicd(service: ClassifierServiceServer<DoNothing>) {
    telemetry::logs::init(LogFormat::Json, None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("listening {}", listener.local_addr().unwrap());
    server::run_alone(listener, &ServeConfig::default(), Routes::new(service)).await.unwrap();
}

async fn behind_layers_of_tonic(service: ClassifierServiceServer<DoNothing>) {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap().with_nodelay(Some(true));
    println!("listening {}", incoming.local_addr().unwrap());
    let connections = ConnectionLimits::default();
    Server::builder()
        .timeout(Duration::from_secs(60))
        .max_concurrent_streams(connections.max_streams_per_connection.get())
        .http2_max_header_list_size(2 * connections.max_header_bytes.get())
        .max_frame_size(64 * 1024)
        .add_service(service)
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}
