"""The one line that makes `twist skitai` known; it must not import anything that imports the reactor."""

from twisted.application.service import ServiceMaker

skitai = ServiceMaker("Skitai", "skitai.tap", "The Skitai application server.", "skitai")
