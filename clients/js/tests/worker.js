import { differences } from "./cases.js";

onmessage = async ({ data }) => postMessage(await differences(data));
