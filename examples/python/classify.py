"""Classify an article file with a running topicd: python classify.py 127.0.0.1:50051 ../articles/cup-final.txt

The server describes its own messages (gRPC reflection), so there is no generated code and no .proto file to keep.
"""

import sys
from pathlib import Path

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def classify(channel: grpc.Channel, title: str, text: str) -> Message:
    descriptors = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    service = descriptors.FindServiceByName("topicd.v1.ClassifierService")
    method = service.methods_by_name["Classify"]
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    call = channel.unary_unary(f"/{service.full_name}/Classify", request.SerializeToString, response.FromString)
    return call(request(document={"title": title, "text": text}), timeout=10)


def read_article(path: str | Path) -> tuple[str, str]:
    """Title and text of a file with the title, the date and the URL on a line each, and paragraphs after them."""
    title, _date, _url, text = Path(path).read_text(encoding="utf-8").split("\n", 3)
    return title, text


if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[1]) as channel:
        for score in classify(channel, *read_article(sys.argv[2])).topics:
            print(f"{score.probability:.3f}  {score.topic}{'  (assigned)' if score.assigned else ''}")
