// Pictures come by choosing, dropping, pasting and from the webcam.

import { messageOf } from "./api.js";
import { byId } from "./elements.js";
import { penOf } from "./inside/maps.js";

/**
 * Files as pictures; those without a name (some browsers paste such) are numbered.
 * @param {Iterable<File>} files
 * @returns {Given[]}
 */
export const named = files =>
  [...files].map((file, i) => ({ name: file.name || `pasted-${i + 1}.png`, blob: file }));

/**
 * Listen for pictures that are chosen, dropped or pasted.
 * @param {(given: Given[]) => void} add
 */
export function receive(add) {
  const chooser = byId("files", HTMLInputElement);
  const give = (/** @type {Iterable<File> | null | undefined} */ files) => {
    const given = named(files ?? []);
    if (given.length) add(given);
  };
  chooser.addEventListener("change", () => {
    give(chooser.files);
    chooser.value = "";
  });
  addEventListener("paste", event => give(event.clipboardData?.files));
  addEventListener("dragover", event => {
    event.preventDefault();
    if (event.dataTransfer?.types.includes("Files")) document.body.classList.add("dropping");
  });
  addEventListener("dragleave", event => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", event => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    give(event.dataTransfer?.files);
  });
}

/**
 * Offer the webcam where there is one.
 * @param {(given: Given[]) => void} add
 * @param {(error: Error) => void} tell
 */
export function camera(add, tell) {
  const video = byId("video", HTMLVideoElement);
  const snap = byId("snap", HTMLButtonElement);
  const start = byId("webcam", HTMLButtonElement);
  /** @type {MediaStream | null} */
  let stream = null;

  // browsers leave it out where the page is not served over HTTPS or from this machine
  start.hidden = !("mediaDevices" in navigator);
  start.addEventListener("click", async () => {
    snap.disabled = true; // until there is something to see
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: true });
      video.srcObject = stream;
      byId("camera").hidden = false;
      await video.play();
      snap.disabled = false;
      snap.focus();
    } catch (error) {
      tell(new Error(`The webcam can't be used: ${messageOf(error)}`));
    }
  });
  snap.addEventListener("click", () => {
    const still = document.createElement("canvas");
    still.width = video.videoWidth;
    still.height = video.videoHeight;
    penOf(still).drawImage(video, 0, 0);
    still.toBlob(blob => blob && add([{ name: "webcam.jpg", blob }]), "image/jpeg", 0.9);
  });
  byId("stop").addEventListener("click", () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    byId("camera").hidden = true;
    start.focus();
  });
}
