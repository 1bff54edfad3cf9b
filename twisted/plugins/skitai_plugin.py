from twisted.application.service import ServiceMaker

skitai = ServiceMaker("Skitai", "skitai.tap", "The Skitai application server.", "skitai")
