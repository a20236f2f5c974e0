"""topicd.v1.ClassifierService on grpcio, around scikit-learn or fastText: what most people would write first.

It trains on a corpus, prints where it listens, and answers Classify with topics and probabilities.
"""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
from grpc_tools import protoc

from libraries import LIBRARIES, Answer


def compiled(proto: Path):
    """The messages, and the services, of the protocol."""
    out = tempfile.mkdtemp()
    third_party = proto / "third_party"
    files = [str(file.relative_to(proto)) for file in proto.glob("topicd/v1/*.proto")]
    files += [str(file.relative_to(third_party)) for file in third_party.glob("google/**/*.proto")]
    include = [f"-I{proto}", f"-I{third_party}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    if protoc.main(["protoc", *include, f"--python_out={out}", f"--grpc_python_out={out}", *files]):
        sys.exit("the protocol doesn't compile")
    sys.path.insert(0, out)
    from topicd.v1 import classifier_service_pb2, classifier_service_pb2_grpc

    return classifier_service_pb2, classifier_service_pb2_grpc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--train", type=Path, required=True, help="train.jsonl.gz")
    parser.add_argument("--proto", type=Path, required=True, help="the folder of the protocol")
    args = parser.parse_args()
    pb, services = compiled(args.proto)
    classify = LIBRARIES[args.library](args.train).answers

    def response(answer: Answer):
        topics, probabilities = answer
        order = np.argsort(-probabilities)
        scores = [pb.TopicScore(topic=topics[i], probability=float(probabilities[i])) for i in order]
        return pb.ClassifyResponse(topics=scores)

    def text(document) -> str:
        return f"{document.title}\n{document.text}"

    class Servicer(services.ClassifierServiceServicer):
        def Classify(self, request, context):
            return response(classify([text(request.document)])[0])

    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    services.add_ClassifierServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
