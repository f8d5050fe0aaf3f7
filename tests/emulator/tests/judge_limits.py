"""What boto3 makes of the service's limits: one check a line, the first that fails ends it with an error."""

import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, region, access_key, secret_key = sys.argv[1:5]
keys = {"region_name": region, "aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
once = Config(retries={"total_max_attempts": 1})
archive = boto3.client("kinesis-video-archived-media", endpoint_url=url, config=once, **keys)
media = boto3.client("kinesis-video-media", endpoint_url=url, config=once, **keys)
times = {"StartTimestamp": 0, "EndTimestamp": 5000000000}
selector = {"FragmentSelectorType": "SERVER_TIMESTAMP", "TimestampRange": times}
limit = archive.exceptions.ClientLimitExceededException


def name(error):
    """boto3 does not read the header in which calls for media name their errors."""
    return error.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-errortype"]


fragments, token, refusals, began = {}, None, 0, time.monotonic()
while len(fragments) < 12000:
    asked = {"NextToken": token} if token else {"FragmentSelector": selector}
    try:
        page = archive.list_fragments(StreamName="demo", MaxResults=1000, **asked)
    except limit as error:
        answer = error.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400 and answer["Error"]["Message"], answer
        refusals += 1
        continue
    fragments.update({fragment["FragmentNumber"]: fragment for fragment in page["Fragments"]})
    token = page["NextToken"]
# Twelve pages at five a second: the eleventh comes in the third second.
assert len(fragments) == 12000 and refusals and time.monotonic() - began >= 2, (len(fragments), refusals)
print("calls are limited")

earliest = {"StartSelectorType": "EARLIEST"}
open_bodies = [media.get_media(StreamName="demo", StartSelector=earliest)["Payload"] for _ in range(3)]
try:
    media.get_media(StreamName="demo", StartSelector=earliest)
    raise AssertionError("a fourth connection is granted")
except ClientError as error:
    answer = error.response["ResponseMetadata"]
    assert (name(error), answer["HTTPStatusCode"]) == ("ConnectionLimitExceededException", 400), error.response
open_bodies.pop().close()
while True:
    try:
        open_bodies.append(media.get_media(StreamName="demo", StartSelector=earliest)["Payload"])
        break
    except ClientError as error:
        code = name(error)
        assert code in ("ConnectionLimitExceededException", "ClientLimitExceededException"), code
        assert time.monotonic() - began < 60, "a place does not become free"
print("connections are limited")
