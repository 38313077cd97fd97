"""A back office in Django: enqueue on upload, and hear of the result on a queue of its own. Nobody waits.

    pip install django './core/contract[client]'
    INBOX=/srv/inbox python examples/django_app/manage.py          # then open http://127.0.0.1:8000

That makes the table, starts the Celery worker that hears of results, and the web server. INBOX is a folder that
docintake may read (`documents.roots`), and docintake has to be allowed to send to the queue: `callbacks.queues:
["backoffice"]`. All of it stands in this file; in yours it is settings.py, models.py, tasks.py, views.py.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import django
from celery import Celery
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import connection, models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.urls import path
from django.utils.html import format_html, format_html_join
from docintake_contract import Ended, IntakeClient

HERE = Path(__file__).resolve().parent
BROKER = os.environ["DOCINTAKE_BROKER__URL"]
PREFIX = os.environ.get("DOCINTAKE_BROKER__KEY_PREFIX", "")
PORT = os.environ.get("PORT", "8000")
QUEUE = "backoffice"

# settings.py

settings.configure(
    SECRET_KEY=os.environ.get("SECRET_KEY", "for trying out alone"),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    INSTALLED_APPS=[],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("OFFICE_DB", HERE / "office.db")}
    },
    MEDIA_ROOT=os.environ.get("INBOX", str(HERE / "inbox")),
    USE_TZ=True,
)
django.setup()

app = Celery("office", broker=BROKER, backend=BROKER)
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_default_queue=QUEUE,
    # An outcome that was being worked on when this worker died comes again.
    task_acks_late=True,
    broker_transport_options={
        "global_keyprefix": PREFIX,
        # Our own notes of what we have not acknowledged: not among docintake's.
        "unacked_key": f"{QUEUE}.unacked",
        "unacked_index_key": f"{QUEUE}.unacked_index",
        "unacked_mutex_key": f"{QUEUE}.unacked_mutex",
    },
    result_backend_transport_options={"global_keyprefix": PREFIX},
    # docintake's nodes are told things over Redis that are none of our business.
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)
client = IntakeClient(app)

# models.py


class Upload(models.Model):
    """pending → classified | needs_review | rejected | failed."""

    name = models.CharField(max_length=200)
    file = models.CharField(max_length=500)
    state = models.CharField(max_length=20, default="pending")
    said = models.CharField(max_length=200, blank=True)

    class Meta:
        app_label = "office"


# tasks.py


@app.task(name="office.outcome", ignore_result=True)
def outcome(outcome: dict[str, Any]) -> None:
    """docintake's word on an upload. It may come twice: the second time changes nothing."""
    ended = Ended.model_validate(outcome)
    if ended.state == "succeeded":
        found = {"state": ended.result.status, "said": f"{ended.result.prediction} {ended.result.confidence:.2f}"}
    else:
        found = {"state": ended.state, "said": ended.error.code}
    Upload.objects.filter(pk=ended.external_id, state="pending").update(**found)


# views.py


def uploads(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        take_in(request.FILES["document"])
        return HttpResponseRedirect("/")
    rows = format_html_join(
        "", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", Upload.objects.values_list("name", "state", "said")
    )
    return HttpResponse(
        format_html(
            '<!DOCTYPE html><title>Office</title><form method="post" enctype="multipart/form-data">'
            '<input type="hidden" name="csrfmiddlewaretoken" value="{}"><input type="file" name="document">'
            "<button>Take in</button></form><table>{}</table>",
            get_token(request),
            rows,
        )
    )


def take_in(file: Any) -> None:
    with transaction.atomic():
        upload = Upload.objects.create(name=file.name)
        kept = Path(settings.MEDIA_ROOT, f"upload-{upload.pk}")
        with kept.open("wb") as target:
            target.writelines(file.chunks())
        upload.file = str(kept)
        upload.save()
        # After the commit, or the outcome could be quicker than the row.
        transaction.on_commit(lambda: enqueue(upload))


def enqueue(upload: Upload) -> None:
    client.classify(
        Path(upload.file).resolve().as_uri(),
        external_id=str(upload.pk),
        # Enqueued twice, should the web server be stopped in between and try again: classified once.
        task_id=f"office-upload-{upload.pk}",
        callback={"task": "office.outcome", "queue": QUEUE},
        ignore_result=True,
    )


urlpatterns = [path("", uploads)]


def main() -> None:
    if len(sys.argv) > 1:
        execute_from_command_line(sys.argv)
        return
    Path(settings.MEDIA_ROOT).mkdir(exist_ok=True)
    with connection.schema_editor() as editor:
        # In place of `manage.py migrate`: this app has no files for migrations.
        if Upload._meta.db_table not in connection.introspection.table_names():
            editor.create_model(Upload)
    words = [
        "-A",
        "office",
        "worker",
        "-Q",
        QUEUE,
        "-P",
        "threads",
        "-c",
        "2",
        "--without-gossip",
        "--without-mingle",
    ]
    worker = subprocess.Popen([sys.executable, "-m", "celery", *words], cwd=HERE)
    try:
        execute_from_command_line([sys.argv[0], "runserver", "--noreload", f"127.0.0.1:{PORT}"])
    finally:
        worker.terminate()
        worker.wait()
