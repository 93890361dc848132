// Starts `ctst lsp` and connects it with the editor. All knowledge of the
// language is in the server.
"use strict";

const { window, workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function activate() {
  const command = workspace.getConfiguration("ctst").get("path") || "ctst";
  client = new LanguageClient(
    "ctst",
    "Containust",
    { command, args: ["lsp"] },
    {
      documentSelector: [{ language: "ctst" }],
      // Imports that are not open may change too.
      synchronize: { fileEvents: workspace.createFileSystemWatcher("**/*.ctst") },
    },
  );
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    window.showErrorMessage(
      `${command} lsp did not start: ${error.message}. Install ctst, or set "ctst.path" to where it is, and reload the window.`,
    );
  }
}

function deactivate() {
  return client?.stop();
}

module.exports = { activate, deactivate };
