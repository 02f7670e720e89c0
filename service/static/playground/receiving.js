// Pictures come by choosing, dropping, pasting and from the webcam.

import { byId } from "./elements.js";

/** `add` gets what was given as `{name, blob}`. */
export function receive(add) {
  const give = (files) => {
    const given = [...files].map((file, i) => ({ name: file.name || `pasted-${i + 1}.png`, blob: file }));
    if (given.length) add(given);
  };
  byId("files").addEventListener("change", (event) => {
    give(event.target.files);
    event.target.value = "";
  });
  addEventListener("paste", (event) => give(event.clipboardData?.files ?? []));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    if (event.dataTransfer.types.includes("Files")) document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    give(event.dataTransfer.files);
  });
}

export function camera(add, tell) {
  const video = byId("video");
  byId("webcam").hidden = !navigator.mediaDevices?.getUserMedia;
  byId("webcam").addEventListener("click", async () => {
    byId("snap").disabled = true; // until there is something to see
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
      byId("camera").hidden = false;
      await video.play();
      byId("snap").disabled = false;
      byId("snap").focus();
    } catch (error) {
      tell(new Error(`The webcam can't be used: ${error.message}`));
    }
  });
  byId("snap").addEventListener("click", () => {
    const still = document.createElement("canvas");
    still.width = video.videoWidth;
    still.height = video.videoHeight;
    still.getContext("2d").drawImage(video, 0, 0);
    still.toBlob((blob) => blob && add([{ name: "webcam.jpg", blob }]), "image/jpeg", 0.9);
  });
  byId("stop").addEventListener("click", () => {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    byId("camera").hidden = true;
    byId("webcam").focus();
  });
}
