"""A producer as producer-c is one, signed by botocore: one check a line, the first that fails ends it with an error.

producer-c signs the headers of HTTP/1.1 (`connection`, `transfer-encoding`), its own and a Host without a port, but neither
`content-type` nor `x-amz-security-token`; the payload that it signs is the empty one, and it says so in no header.
"""

import json
import socket
import ssl
import sys
import urllib.parse

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.config import Config
from botocore.credentials import Credentials

url, region, access_key, secret_key, body, authority = sys.argv[1:7]
temporary = sys.argv[7:10]
with open(body, "rb") as file:
    body = file.read()
keys = {"region_name": region, "aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
once = Config(retries={"total_max_attempts": 1})
video = boto3.client("kinesisvideo", endpoint_url=url, verify=authority or None, config=once, **keys)
endpoint = urllib.parse.urlsplit(video.get_data_endpoint(StreamName="demo", APIName="PUT_MEDIA")["DataEndpoint"])
own = Credentials(access_key, secret_key)


class Signer(SigV4Auth):
    """botocore's signer, which leaves out what producer-c leaves out, and nothing else."""

    def headers_to_sign(self, request):
        signed = HTTPHeaders()
        for name, value in request.headers.items():
            if name.lower() not in ("authorization", "content-type", "x-amz-security-token"):
                signed[name.lower()] = value
        return signed


def sign(credentials=own, path="/putMedia", payload=None, **changes):
    headers = {
        "host": endpoint.hostname,
        "user-agent": "producer/1.6.0 GCC/12.2.0 Linux/6.1",
        "content-type": "application/json",
        "connection": "keep-alive",
        "transfer-encoding": "chunked",
        "x-amzn-stream-name": "demo",
        "x-amzn-fragment-timecode-type": "ABSOLUTE",
        "x-amzn-producer-start-timestamp": "1700000000.5",
        "x-amzn-fragment-acknowledgment-required": "1",
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    request = AWSRequest("POST", endpoint.geturl() + path, headers, payload)
    Signer(credentials, "kinesisvideo", region).add_auth(request)
    return dict(request.headers)


def connect():
    plain = socket.create_connection((endpoint.hostname, endpoint.port), timeout=30)
    if endpoint.scheme == "http":
        return plain
    context = ssl.create_default_context(cafile=authority)
    # As Python 3.13 does by itself: certificates must keep to RFC 5280.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    # What curl offers by itself, and takes in this order.
    context.set_alpn_protocols(["h2", "http/1.1"])
    secured = context.wrap_socket(plain, server_hostname=endpoint.hostname)
    assert secured.selected_alpn_protocol() == "http/1.1", secured.selected_alpn_protocol()
    return secured


def put(headers, pieces, path="/putMedia"):
    """Sends a head, waits for leave to send the body, and sends it: answers status, header and body."""
    with connect() as connection:
        head = {**headers, "Expect": "100-continue"}
        lines = [f"POST {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in head.items()]
        connection.sendall("\r\n".join(lines + ["", ""]).encode())
        answer = connection.makefile("rb")
        status, said = read_head(answer)
        if status == 100:
            for piece in pieces:
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")
            status, said = read_head(answer)
        return status, said, read_body(answer, said)


def read_head(answer):
    status = int(answer.readline().split()[1])
    said = {}
    for line in iter(answer.readline, b"\r\n"):
        name, value = line.decode().split(":", 1)
        said[name.lower()] = value.strip()
    return status, said


def read_body(answer, said):
    if "content-length" in said:
        return answer.read(int(said["content-length"]))
    body = b""
    while length := int(answer.readline(), 16):
        body += answer.read(length)
        answer.readline()
    return body


def acknowledged(answer):
    status, _, said = answer
    assert status == 200, answer
    return [json.loads(line) for line in said.splitlines()]


def refused(answer, error_type="InvalidSignatureException", header="x-amz-errortype"):
    status, said, body = answer
    assert (status, said.get(header)) == (403, error_type), (status, said, body)


pieces = [body[start : start + 700] for start in range(0, len(body), 700)]
lines = acknowledged(put(sign(), pieces))
assert [line["EventType"] for line in lines] == ["BUFFERING", "RECEIVED", "PERSISTED"] * 2, lines
print("a producer's signature is taken")

for form in ({"x_amz_content_sha256": "UNSIGNED-PAYLOAD"}, {"x_amz_content_sha256": "0" * 64}):
    assert len(acknowledged(put(sign(**form), pieces))) == 6
print("so are the signatures that name what they sign")

assert acknowledged(put(sign(x_amzn_fragment_acknowledgment_required="0"), pieces)) == []
print("acknowledgements that nobody wants are not sent")

if temporary:
    lines = acknowledged(put(sign(Credentials(*temporary)), pieces))
    assert len(lines) == 6, lines
    forged = Credentials(temporary[0], temporary[1], "another")
    refused(put(sign(forged), pieces), "UnrecognizedClientException")
    print("a session token need not be signed, and has to be right")

refused(put(sign(Credentials(access_key, "wrong")), pieces))
for name, value in {"x-amzn-stream-name": "other", "connection": "close", "host": "example.com"}.items():
    refused(put({**sign(), name: value}, pieces))
refused(put({**sign(), "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, pieces))
refused(put(sign(payload=body), pieces))
print("any other signature is refused")

request = b'{"StreamName":"demo"}'
signed = sign(path="/describeStream")
refused(put(signed, [request], "/describeStream"), header="x-amzn-errortype")
signed = sign(path="/describeStream", payload=request)
assert put(signed, [request], "/describeStream")[0] == 200
print("calls with a body of their own sign it")
