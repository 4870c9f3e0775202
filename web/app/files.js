/** Fetches files of the site; what goes wrong is said in words. */

/** A message for people. */
export class UserError extends Error {
  name = "UserError";
}

/**
 * @param {URL} url
 * @returns {Promise<Response>}
 */
async function fetchFile(url) {
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    throw new UserError(`${nameOf(url)} cannot be loaded. Check your connection and try again.`);
  }
  if (!answer.ok) throw new UserError(`${nameOf(url)} cannot be loaded (HTTP ${answer.status}).`);
  return answer;
}

function nameOf(url) {
  return url.pathname.split("/").pop();
}

/** @param {URL} url @returns {Promise<ArrayBuffer>} */
export async function fetchBytes(url) {
  return (await fetchFile(url)).arrayBuffer();
}

/** @param {URL} url @returns {Promise<Object>} */
export async function fetchJson(url) {
  return (await fetchFile(url)).json();
}
