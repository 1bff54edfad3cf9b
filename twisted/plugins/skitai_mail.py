"""The one line that makes `twist skitai-mail` known; it must not import anything that imports the reactor."""

from twisted.application.service import ServiceMaker

skitai_mail = ServiceMaker(
    "Skitai mail", "skitai.daemon.mail.tap", "Skitai's agent that delivers mail.", "skitai-mail"
)
